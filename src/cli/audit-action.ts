import { existsSync, readFileSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type AuditLine, linesOf, parseLine } from '../audit/chain.ts';
import { readRecordFile, recordFiles } from '../audit/files.ts';
import { type Verification, verifyRecord } from '../audit/verify.ts';
import { writeAll } from '../client/descriptor.ts';
import { PATHS } from '../install/layout.ts';
import { installedAuditKey } from '../install/settings-file.ts';
import { delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { visibleJsonText, visibleLine } from '../lib/visible.ts';
import { processEnvironment } from '../settings/config.ts';
import type { AuditFilter, AuditOptions, VerifyArguments } from './audit-arguments.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** More findings than these tell nothing more. */
const MAX_SHOWN = 100;

/** Checks the whole record; ends with 1 when something is wrong with it. */
export async function verifyAudit(options: VerifyArguments): Promise<void> {
  const path = fileOf(options);
  const key = processEnvironment()['AGENT3_AUDIT_KEY'] || installedAuditKey();
  if (options.requireKey === true && key === undefined) {
    fail(
      EXIT_USAGE,
      'no key to check the seals with: set AGENT3_AUDIT_KEY, or run it as root where the agent is installed',
    );
  }
  const found = attempt(path, () => verifyRecord(path, { key, kept: options.kept }));
  if (found.files.length === 0) fail(EXIT_FAILURE, `there is no record ${path}`);
  await print([
    ...wordsOnFindings(found),
    ...wordsOnNotes(found),
    wordsOnAll(found),
    wordsOnSeals(found, key !== undefined),
  ]);
  if (options.requireKey === true && found.sealed === 0) {
    fail(EXIT_FAILURE, 'no line is sealed, and --require-key wants them to be');
  }
  if (found.findings.length > 0) process.exit(EXIT_FAILURE);
}

function wordsOnFindings({ findings }: Verification): string[] {
  const shown = findings
    .slice(0, MAX_SHOWN)
    .map(({ file, line, what }) => `✗ ${file}${line === 0 ? '' : `:${line}`}: ${visibleLine(what)}`);
  return findings.length > MAX_SHOWN ? [...shown, `✗ and ${findings.length - MAX_SHOWN} more`] : shown;
}

function wordsOnNotes({ notes }: Verification): string[] {
  return notes.slice(-MAX_SHOWN).map(({ file, line, what }) => `  ${file}:${line}: ${visibleLine(what)}`);
}

function wordsOnAll({ files, lines, first, last, findings }: Verification): string {
  const range =
    first === undefined || last === undefined
      ? ''
      : `, number ${first.seq} (${visibleLine(first.time)}) to ${last.seq} (${visibleLine(last.time)})`;
  const all = `${lines} ${lines === 1 ? 'line' : 'lines'} in ${files.length} ${files.length === 1 ? 'file' : 'files'}${range}`;
  return findings.length === 0 ? `✓ ${all}: whole` : `${all}: ${findings.length} findings`;
}

function wordsOnSeals({ sealed, unsealed, ofOtherKey }: Verification, hasKey: boolean): string {
  const open = 'who runs commands as the user of the agent may have forged';
  if (!hasKey)
    return `checked without the key: ${open} lines at its end. With it (AGENT3_AUDIT_KEY, or as root where the agent is installed) that is found`;
  if (sealed === 0) return `no line is sealed with the key: ${open} lines at its end`;
  // One of them is what somebody changed.
  if (ofOtherKey > 1) {
    const some =
      ofOtherKey === sealed ? `all ${sealed} sealed lines` : `the first ${ofOtherKey} of ${sealed} sealed lines`;
    return `checked with the key: ${some} have a MAC of another one. Was AGENT3_AUDIT_KEY changed? Then check those from before with the old key`;
  }
  const before = unsealed === 0 ? '' : `; the ${unsealed} before them are from before the key, and ${open} those`;
  return `checked with the key: ${sealed} ${sealed === 1 ? 'line is' : 'lines are'} sealed${before}`;
}

/** Prints the last lines, and with `follow` those that come. */
export async function tailAudit(
  options: AuditFilter & { readonly lines: number; readonly follow?: true },
): Promise<void> {
  const path = fileOf(options);
  const wanted = filterOf(options);
  const files = attempt(path, () => recordFiles(path));
  if (files.length === 0 && options.follow !== true) fail(EXIT_FAILURE, `there is no record ${path}`);
  let found: Uint8Array[] = [];
  for (const file of files.reverse()) {
    const matching = attempt(file, () => [...linesOf(readRecordFile(file))])
      .map(({ bytes }) => bytes)
      .filter(wanted);
    found = [...matching, ...found].slice(-options.lines || Number.POSITIVE_INFINITY);
    if (found.length >= options.lines) break;
  }
  const textOf = texter(options);
  if (options.lines > 0) await print(found.map(textOf));
  if (options.follow === true) await follow(path, wanted, (bytes) => print([textOf(bytes)]));
  if (found.length === 0) await noteNoMatch();
}

async function noteNoMatch(): Promise<void> {
  await writeAll(2, Buffer.from('agent3: no line matches\n'));
}

/** The exit codes of grep, which tells a record that it could not search from one in which nothing is. */
const GREP_EXIT = { noMatch: 1, trouble: 2 } as const;

/** Prints every line of the record that matches; ends with 1 when none does. */
export async function grepAudit(pattern: string | undefined, options: AuditFilter): Promise<void> {
  const path = fileOf(options);
  const matches = patternOf(pattern);
  const wanted = filterOf(options);
  const textOf = texter(options);
  const files = attempt(path, () => recordFiles(path), GREP_EXIT.trouble);
  if (files.length === 0) fail(GREP_EXIT.trouble, `there is no record ${path}`);
  let count = 0;
  for (const file of files) {
    const found = attempt(file, () => [...linesOf(readRecordFile(file))], GREP_EXIT.trouble)
      .map(({ bytes }) => bytes)
      .filter((bytes) => wanted(bytes) && matches.test(Buffer.from(bytes).toString('utf8')));
    count += found.length;
    await print(found.map(textOf));
  }
  if (count > 0) return;
  await noteNoMatch();
  process.exit(GREP_EXIT.noMatch);
}

/** Waits for the reader: a record of many files is neither held in memory for it, nor read on when it has gone. */
async function print(lines: readonly string[]): Promise<void> {
  await writeAll(1, Buffer.from(lines.map((line) => `${line}\n`).join('')));
}

const FOLLOW_MS = 250;

async function follow(
  path: string,
  wanted: (bytes: Uint8Array) => boolean,
  show: (bytes: Uint8Array) => Promise<void>,
): Promise<never> {
  let inode = statSync(path, { throwIfNoEntry: false })?.ino;
  let at = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  for (;;) {
    await delay(FOLLOW_MS);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.ino !== inode || stat.size < at) [inode, at] = [stat.ino, 0];
    if (stat.size === at) continue;
    const bytes = readFileSync(path).subarray(at);
    for (const line of linesOf(bytes)) {
      if (line.isTorn) break;
      at += line.bytes.length + 1;
      if (wanted(line.bytes)) await show(line.bytes);
    }
  }
}

function patternOf(pattern: string | undefined): RegExp {
  try {
    return new RegExp(pattern ?? '', 'u');
  } catch (error) {
    fail(EXIT_USAGE, `the pattern is no regular expression: ${error instanceof Error ? error.message : ''}`);
  }
}

function filterOf({ token, session, event, since, until }: AuditFilter): (bytes: Uint8Array) => boolean {
  return (bytes) => {
    const line = parseLine(bytes);
    if (line === undefined) return token === undefined && session === undefined && event === undefined;
    const time = Date.parse(line.time);
    return (
      (token === undefined || line['token'] === token || String(line['token']).startsWith(`${token}#`)) &&
      (session === undefined || String(line['session']).startsWith(session)) &&
      (event === undefined || line.event === event) &&
      (since === undefined || time >= since) &&
      (until === undefined || time < until)
    );
  };
}

/**
 * A table for people on a terminal, JSON for programs, which says the same as the line of the record. Neither acts on a
 * terminal, also one that a pipe leads to.
 */
function texter({ json }: AuditFilter): (bytes: Uint8Array) => string {
  const isTable = isatty(1) && json !== true;
  return (bytes) => {
    const line = parseLine(bytes);
    const raw = Buffer.from(bytes).toString('utf8');
    if (line === undefined) return visibleLine(raw);
    return isTable ? row(line) : visibleJsonText(raw);
  };
}

function row(line: AuditLine): string {
  const text = (name: string): string => visibleLine(String(line[name] ?? '').replaceAll('\n', ' ⏎ '));
  const token = text('token').replace(/#.*/, '');
  const head = `${text('time').slice(0, 19).replace('T', ' ')}  ${text('event').padEnd(9)}  ${token.padEnd(12)}  ${text('session').slice(0, 13).padEnd(13)}  `;
  return head + whatOf(line, text);
}

function whatOf(line: AuditLine, text: (name: string) => string): string {
  switch (line.event) {
    case 'start':
      return text('cmd');
    case 'end':
      return `${text('status')}${line['exit_code'] == null ? '' : `, exit ${text('exit_code')}`}, ${text('duration_ms')} ms, ${text('stdout_bytes')}+${text('stderr_bytes')} bytes`;
    case 'decision':
      return `${text('decision')}: ${text('reason')}${line['by'] ? ` (${text('by')})` : ''}: ${text('cmd')}`;
    case 'operation':
      return `${text('op')}${line['refused'] === undefined ? '' : `, refused: ${text('refused')}`}`;
    case 'login':
      return `${text('what')} from ${text('address')}`;
    default:
      return text('what');
  }
}

function attempt<T>(path: string, work: () => T, code: typeof EXIT_FAILURE | typeof EXIT_USAGE = EXIT_FAILURE): T {
  try {
    return work();
  } catch (error) {
    fail(code, `${path} cannot be read: ${describeErrno(error)}. Try it with sudo.`);
  }
}

function fileOf({ file }: AuditOptions): string {
  const named = file ?? processEnvironment()['AGENT3_AUDIT_FILE'];
  if (named) return named;
  if (existsSync(PATHS.manifest)) return PATHS.audit;
  fail(EXIT_USAGE, 'no audit record: name it with --file, or set AGENT3_AUDIT_FILE for the agent and here');
}
