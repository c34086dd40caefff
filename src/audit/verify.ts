import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { headPath } from './audit-log.ts';
import { type AuditLine, GENESIS, hashLine, linesOf, parseLine } from './chain.ts';

/** What is wrong with a record, and where; lines are counted from 1 in their file. */
export interface AuditFinding {
  readonly file: string;
  readonly line: number;
  readonly what: string;
}

/** What a look at a whole record gave. */
export interface Verification {
  readonly files: readonly string[];
  readonly lines: number;
  readonly first: AuditLine | undefined;
  readonly last: AuditLine | undefined;
  readonly findings: readonly AuditFinding[];
}

/** The files of a record, the oldest first: `audit.jsonl.2.gz`, `audit.jsonl.1`, `audit.jsonl`. */
export function recordFiles(path: string): string[] {
  const name = basename(path);
  const rotated = readdirSync(dirname(path))
    .map((entry) => ({ entry, number: rotationOf(entry, name) }))
    .filter(({ number }) => number !== undefined)
    .sort((a, b) => (b.number ?? 0) - (a.number ?? 0))
    .map(({ entry }) => join(dirname(path), entry));
  return existsSync(path) ? [...rotated, path] : rotated;
}

function rotationOf(entry: string, name: string): number | undefined {
  if (!entry.startsWith(`${name}.`)) return undefined;
  const match = /^(\d{1,6})(?:\.gz)?$/.exec(entry.slice(name.length + 1));
  return match === null ? undefined : Number(match[1]);
}

/** The bytes of a file of a record. Throws the system's error. */
export function readRecordFile(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

/** Looks for every line that was changed, added, taken out or put elsewhere. Throws the system's error. */
export function verifyRecord(path: string): Verification {
  const files = recordFiles(path);
  const findings: AuditFinding[] = [];
  let [lines, first, last] = [0, undefined as AuditLine | undefined, undefined as AuditLine | undefined];
  let before: Before | undefined;
  for (const file of files) {
    let number = 0;
    for (const { bytes, isTorn } of linesOf(readRecordFile(file))) {
      number++;
      lines++;
      const find = (what: string): AuditFinding => ({ file, line: number, what });
      const line = parseLine(bytes);
      const hash = hashLine(bytes);
      if (line === undefined || isTorn) {
        flush(before, findings);
        // Whether a line that is not whole is explained, the next one tells.
        const where = find(isTorn ? 'it is not whole' : 'it is no line of the record');
        before = { hash, seq: before?.seq, where, at: where };
        continue;
      }
      findings.push(...faultsOf(line, before, find));
      if (line.event === 'tampered') findings.push(find(`the agent found: ${String(line['what'])}`));
      before = { hash, seq: line.seq, where: undefined, at: { file, line: number } };
      first ??= line;
      last = line;
    }
  }
  flush(before, findings);
  const end = { file: files.at(-1) ?? path, line: 0 };
  findings.push(...missingAtEnd(path, before, end));
  return { files, lines, first, last, findings };
}

interface Before {
  readonly hash: string;
  readonly seq: number | undefined;
  /** What is wrong with it, unless the next line explains it. */
  readonly where: AuditFinding | undefined;
  readonly at: Omit<AuditFinding, 'what'>;
}

function flush(before: Before | undefined, findings: AuditFinding[]): void {
  if (before?.where !== undefined) findings.push(before.where);
}

function faultsOf(line: AuditLine, before: Before | undefined, find: (what: string) => AuditFinding): AuditFinding[] {
  if (before === undefined) {
    // The oldest files may have been removed by their age.
    const isBeginning = line.seq > 1 || line.prev === GENESIS;
    return isBeginning ? [] : [find('it is not the beginning, and nothing is before it')];
  }
  const explained = before.where !== undefined && line.event === 'recovered' && line.prev === before.hash;
  if (before.where !== undefined && !explained) return [before.where];
  const expected = (before.seq ?? line.seq - 1) + 1;
  const faults = line.seq === expected ? [] : [find(`its number is ${line.seq}, and should be ${expected}`)];
  if (line.prev === before.hash) return faults;
  const broken = find('it does not go on from the line before');
  // With numbers that go on, no line is missing: one of the two is not what was written.
  return faults.length > 0
    ? [...faults, broken]
    : [{ ...before.at, what: 'it was changed, unless the next line was: that has another hash of it' }, broken];
}

function missingAtEnd(path: string, before: Before | undefined, end: Omit<AuditFinding, 'what'>): AuditFinding[] {
  if (!existsSync(headPath(path)))
    return [{ ...end, what: `${headPath(path)} is missing, which tells where the record ends` }];
  const [seq = '', hash = ''] = readFileSync(headPath(path), 'latin1').trim().split(' ');
  const missing = Number(seq) - (before?.seq ?? 0);
  // One line may be written, and not yet noted.
  if (missing > 0)
    return [
      {
        ...end,
        what: `${missing} ${missing === 1 ? 'line is' : 'lines are'} missing at the end, up to number ${Number(seq)}`,
      },
    ];
  if (missing === 0 && before !== undefined && before.where === undefined && hash !== before.hash)
    return [{ ...end, what: 'the last line is not the one that was written' }];
  return missing < -1 ? [{ ...end, what: `${-missing} lines follow that the agent did not write` }] : [];
}
