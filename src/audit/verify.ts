import { existsSync, readFileSync } from 'node:fs';
import { visibleLine } from '../lib/visible.ts';
import {
  type AuditLine,
  GENESIS,
  type HeadState,
  hashLine,
  headPath,
  isOfOwner,
  linesOf,
  parseHead,
  parseLine,
  Seal,
  type SealState,
} from './chain.ts';
import { KEPT_FILES, readRecordFile, recordFiles } from './files.ts';
import { describePowerLoss, leftBefore, leftInside, powerLossOf } from './power-loss.ts';
import { isFileNote } from './resume.ts';

/** A fault of a record, and where; lines are counted from 1 in their file, and 0 is the whole file. */
export interface AuditFinding {
  readonly file: string;
  readonly line: number;
  readonly what: string;
}

/** A line that has a signed order of the owner, or claims so, or ends allowances, which is checked elsewhere. */
export interface SignedLine extends Omit<AuditFinding, 'what'> {
  readonly record: AuditLine;
}

interface VerifyOptions {
  readonly key?: string | undefined;
  readonly kept?: number | undefined;
}

/** The result of verifying a whole record. */
interface Verification {
  readonly files: readonly string[];
  readonly lines: number;
  readonly first: AuditLine | undefined;
  readonly last: AuditLine | undefined;
  /** Lines with a MAC, and the lines before the first of them. */
  readonly sealed: number;
  readonly unsealed: number;
  /** Lines from the first sealed one on without a MAC of this key: they may be from before a change of it. */
  readonly ofOtherKey: number;
  readonly findings: readonly AuditFinding[];
  /** What an owner should know, without an attack. */
  readonly notes: readonly AuditFinding[];
}

/** A running agent notes its line within this time. */
const NOTE_MS = 50;

/** Finds every line that was changed, added, removed or moved. Throws the system's error. */
export function verifyRecord(
  path: string,
  { key, kept = KEPT_FILES }: VerifyOptions = {},
): Verification & { readonly signed: readonly SignedLine[] } {
  const seal = new Seal(key);
  // The agent may write meanwhile: what it had noted before must be there, and what it has noted after may be.
  const before = readHead(seal, path);
  const files = recordFiles(path);
  const walk = new Walk(seal, typeof before === 'string' ? undefined : before.seq);
  const read = (file: string | undefined): Uint8Array | undefined =>
    file === undefined
      ? file
      : readRecordFile(file, (why) => walk.findings.push({ file, line: 0, what: `it cannot be read: ${why}` }));
  for (let index = 0, bytes = read(files[0]); bytes !== undefined; index++) {
    const next = read(files[index + 1]);
    walk.file(files[index] ?? path, bytes, next === undefined ? 0 : leftBefore(next, seal));
    bytes = next;
  }
  walk.flush();
  let after = readHead(seal, path);
  if (typeof after !== 'string' && walk.lastSeq - after.seq === 1) {
    Bun.sleepSync(NOTE_MS);
    after = readHead(seal, path);
  }
  const { findings, notes, signed, lines, first, last, sealed, unsealed, ofOtherKey } = walk;
  const start = { file: files[0] ?? path, line: 1 };
  const beginning = walk.begin === undefined ? [] : beginningFaults(walk.begin, files.length, kept);
  const end = { file: files.at(-1) ?? path, line: 0 };
  return {
    files,
    lines,
    first,
    last,
    sealed,
    unsealed,
    ofOtherKey,
    notes,
    signed,
    findings: [
      ...beginning.map((what) => ({ ...start, what })),
      ...findings,
      ...endFaults(seal, path, before, after, walk).map((what) => ({ ...end, what })),
    ],
  };
}

function readHead(seal: Seal, path: string): HeadState {
  return existsSync(headPath(path)) ? parseHead(seal, readFileSync(headPath(path), 'latin1')) : 'empty';
}

interface Before {
  readonly hash: string;
  readonly seq: number | undefined;
  /** What is wrong with it, unless the next line explains it. */
  readonly where: AuditFinding | undefined;
  readonly at: Omit<AuditFinding, 'what'>;
}

class Walk {
  readonly findings: AuditFinding[] = [];
  readonly notes: AuditFinding[] = [];
  readonly signed: SignedLine[] = [];
  lines = 0;
  first: AuditLine | undefined;
  last: AuditLine | undefined;
  begin: AuditLine | undefined;
  sealed = 0;
  unsealed = 0;
  ofOtherKey = 0;
  lastState: SealState = 'none';
  notedHash: string | undefined;
  #before: Before | undefined;
  #boot: string | undefined;

  constructor(
    private readonly seal: Seal,
    private readonly notedSeq: number | undefined,
  ) {}

  get lastSeq(): number {
    return this.last?.seq ?? 0;
  }

  /** Checks the lines of a file. `left` bytes at its end are what a loss of power left, according to the next file. */
  file(file: string, bytes: Uint8Array, left: number): void {
    const skips = [...leftInside(bytes, this.seal), { from: bytes.length - left, to: bytes.length }];
    let number = 0;
    let at = 0;
    for (const { bytes: line, isTorn } of linesOf(bytes)) {
      number++;
      const from = at;
      at += line.length + 1;
      if (!skips.some((skip) => from >= skip.from && from < skip.to)) this.#line({ file, line: number }, line, isTorn);
    }
  }

  /** The next line explains a line that is not whole; here there is no next line. */
  flush(): void {
    if (this.#before?.where !== undefined) this.findings.push(this.#before.where);
  }

  #line(at: Omit<AuditFinding, 'what'>, bytes: Uint8Array, isTorn: boolean): void {
    this.lines++;
    const line = isTorn ? undefined : parseLine(bytes);
    const hash = hashLine(bytes);
    if (line === undefined) {
      this.flush();
      const where = { ...at, what: isTorn ? 'it is not whole' : 'it is not a line of the record' };
      this.#before = { hash, seq: this.#before?.seq, where, at };
      return;
    }
    const find = (what: string): number => this.findings.push({ ...at, what });
    this.#checkSeal(bytes, find);
    if (this.#before !== undefined) this.findings.push(...chainFaults(line, this.#before, (what) => ({ ...at, what })));
    if (line.event === 'tampered') find(`the agent found: ${String(line['what'])}`);
    this.#noteBoot(line, at, find);
    if (isOfOwner(line)) this.signed.push({ ...at, record: line });
    if (this.lines === 1) this.begin = line;
    if (line.seq === this.notedSeq) this.notedHash = hash;
    this.#before = { hash, seq: line.seq, where: undefined, at };
    this.first ??= line;
    this.last = line;
  }

  #checkSeal(bytes: Uint8Array, find: (what: string) => void): void {
    const state = this.seal.check(bytes);
    this.lastState = state;
    if (state === 'wrong') {
      if (this.ofOtherKey === this.sealed) this.ofOtherKey++;
      find('it is forged: its MAC is not of this key');
    }
    if (state !== 'none') this.sealed++;
    else if (this.sealed === 0) this.unsealed++;
    else find('it has no MAC, and lines before it have: the agent with the key did not write it');
  }

  /** A machine that was not rebooted has lost no power. */
  #noteBoot(line: AuditLine, at: Omit<AuditFinding, 'what'>, find: (what: string) => void): void {
    const loss = powerLossOf(line);
    if (loss !== undefined) {
      if (loss.boot === this.#boot) find('it reports a power loss, and the machine was not rebooted');
      else this.notes.push({ ...at, what: describePowerLoss(line) });
    }
    if (typeof line['boot'] === 'string') this.#boot = line['boot'];
  }
}

function chainFaults(line: AuditLine, before: Before, find: (what: string) => AuditFinding): AuditFinding[] {
  const isNote = line.event === 'recovered' || (isFileNote(line) && line['torn'] === true);
  const explained = before.where !== undefined && isNote && line.prev === before.hash;
  if (before.where !== undefined && !explained) return [before.where];
  const expected = (before.seq ?? line.seq - 1) + 1;
  const faults = line.seq === expected ? [] : [find(`its number is ${line.seq}, and should be ${expected}`)];
  if (line.prev === before.hash) return faults;
  const broken = find('it does not continue the line before');
  // If the numbers continue, no line is missing: one of the two is not what was written.
  return faults.length > 0
    ? [...faults, broken]
    : [{ ...before.at, what: 'this line or the next was changed: the next has another hash of this one' }, broken];
}

function endFaults(seal: Seal, path: string, before: HeadState, after: HeadState, walk: Walk): string[] {
  const note = headPath(path);
  if (before === 'empty' || after === 'empty') return [`${note} is missing, which says where the record ends`];
  if (before === 'damaged' || after === 'damaged') return [`${note} is damaged, which says where the record ends`];
  if (before.seal === 'wrong') return [`${note} is forged: its MAC is not of this key`];
  if (before.seal === 'none' && walk.lastState !== 'none') {
    // The first sealed line may be written, and not yet noted.
    const isNext = walk.sealed === 1 && walk.lastSeq - after.seq === 1;
    if (!isNext) return [`${note} is forged: it has no MAC, and the lines have`];
  }
  const missing = before.seq - walk.lastSeq;
  if (missing > 0)
    return [`${missing} ${missing === 1 ? 'line is' : 'lines are'} missing at the end, up to number ${before.seq}`];
  if (walk.notedHash !== undefined && walk.notedHash !== before.hash)
    return [
      before.seq === walk.lastSeq
        ? 'the last line is not the one that was written'
        : `the line with number ${before.seq} is not the one that was written`,
    ];
  const extra = walk.lastSeq - after.seq;
  // One line may be written, and not yet noted: only its MAC shows that it is the agent's.
  if (extra <= 0 || (extra === 1 && seal.hasKey && walk.lastState === 'right')) return [];
  return [`${extra} ${extra === 1 ? 'line follows' : 'lines follow'} that the agent did not note as its own`];
}

/**
 * Returns what is wrong with the first line of the oldest of `files` files: it is the first of all, or the one with
 * which the agent begins a new file. Files before that were removed by age if `kept` older ones are there.
 */
function beginningFaults(begin: AuditLine, files: number, kept: number): string[] {
  if (begin.seq === 1 && begin.prev === GENESIS) return [];
  if (!isFileNote(begin)) return ['lines are missing at the beginning'];
  const older = files - 1;
  if (older >= kept) return [];
  const gone = Number(begin['number']) - 1;
  return [
    `${gone} older ${gone === 1 ? 'file is' : 'files are'} gone, and only ${older} of the ${kept} that are kept are there`,
  ];
}

const MAX_SHOWN = 100;

/** Describes the findings of a check, a line each. `hasKey`: whether it was checked with the key of the seals. */
export function describeVerification(found: Verification, hasKey: boolean): string[] {
  return [...describeFindings(found), ...describeNotes(found), describeAll(found), describeSeals(found, hasKey)];
}

function describeFindings({ findings }: Verification): string[] {
  const shown = findings
    .slice(0, MAX_SHOWN)
    .map(({ file, line, what }) => `✗ ${file}${line === 0 ? '' : `:${line}`}: ${visibleLine(what)}`);
  return findings.length > MAX_SHOWN ? [...shown, `✗ and ${findings.length - MAX_SHOWN} more`] : shown;
}

function describeNotes({ notes }: Verification): string[] {
  return notes.slice(-MAX_SHOWN).map(({ file, line, what }) => `  ${file}:${line}: ${visibleLine(what)}`);
}

function describeAll({ files, lines, first, last, findings }: Verification): string {
  const range =
    first === undefined || last === undefined
      ? ''
      : `, number ${first.seq} (${visibleLine(first.time)}) to ${last.seq} (${visibleLine(last.time)})`;
  const all = `${lines} ${lines === 1 ? 'line' : 'lines'} in ${files.length} ${files.length === 1 ? 'file' : 'files'}${range}`;
  const count = findings.length;
  return count === 0 ? `✓ ${all}: whole` : `${all}: ${count} ${count === 1 ? 'finding' : 'findings'}`;
}

function describeSeals({ sealed, unsealed, ofOtherKey }: Verification, hasKey: boolean): string {
  const open = "commands that run as the agent's user may have forged";
  if (!hasKey)
    return `checked without the key: ${open} lines at its end. To find that, check with the key: AGENT3_AUDIT_KEY, or as root where the agent is installed`;
  if (sealed === 0) return `no line is sealed with the key: ${open} lines at its end`;
  // One of them is what somebody changed.
  if (ofOtherKey > 1) {
    const some =
      ofOtherKey === sealed ? `all ${sealed} sealed lines` : `the first ${ofOtherKey} of ${sealed} sealed lines`;
    return `checked with the key: ${some} have the MAC of another key. If AGENT3_AUDIT_KEY was changed, check the older lines with the old key`;
  }
  const before = unsealed === 0 ? '' : `; the ${unsealed} before them are from before the key, and ${open} those`;
  return `checked with the key: ${sealed} ${sealed === 1 ? 'line is' : 'lines are'} sealed${before}`;
}
