import { existsSync, readFileSync, statSync } from 'node:fs';
import { type AuditLine, linesOf, parseLine } from '../audit/chain.ts';
import { readRecordFile, recordFiles } from '../audit/files.ts';
import { type Verification, verifyRecord } from '../audit/verify.ts';
import { processEnvironment } from '../config.ts';
import { delay } from '../core/clock.ts';
import { describeErrno } from '../core/errors.ts';
import { visibleLine, visibleText } from '../core/plain-text.ts';
import { PATHS } from '../install/layout.ts';
import { installedAuditKey } from '../install/settings-file.ts';
import type { AuditFilter, AuditOptions } from './audit-arguments.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** More findings than these tell nothing more. */
const MAX_SHOWN = 100;

/** Checks the whole record; ends with 1 when something is wrong with it. */
export function verifyAudit(options: AuditOptions & { readonly kept: number }): void {
  const path = fileOf(options);
  const key = processEnvironment()['AGENT3_AUDIT_KEY'] || installedAuditKey();
  const found = attempt(path, () => verifyRecord(path, { key, kept: options.kept }));
  const { files, lines, first, last, findings } = found;
  if (files.length === 0) fail(EXIT_FAILURE, `there is no record ${path}`);
  for (const { file, line, what } of findings.slice(0, MAX_SHOWN)) {
    process.stdout.write(`✗ ${file}${line === 0 ? '' : `:${line}`}: ${visibleLine(what)}\n`);
  }
  if (findings.length > MAX_SHOWN) process.stdout.write(`✗ and ${findings.length - MAX_SHOWN} more\n`);
  const range =
    first === undefined || last === undefined
      ? ''
      : `, number ${first.seq} (${visibleLine(first.time)}) to ${last.seq} (${visibleLine(last.time)})`;
  const all = `${lines} ${lines === 1 ? 'line' : 'lines'} in ${files.length} ${files.length === 1 ? 'file' : 'files'}${range}`;
  const verdict = findings.length === 0 ? 'whole' : `${findings.length} findings`;
  process.stdout.write(`${findings.length === 0 ? '✓ ' : ''}${all}: ${verdict}\n`);
  process.stdout.write(`${wordsOnSeals(found, key !== undefined)}\n`);
  if (findings.length > 0) process.exit(EXIT_FAILURE);
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
  let found: Uint8Array[] = [];
  for (const file of files.reverse()) {
    const matching = attempt(file, () => [...linesOf(readRecordFile(file))])
      .map(({ bytes }) => bytes)
      .filter(wanted);
    found = [...matching, ...found].slice(-options.lines || Number.POSITIVE_INFINITY);
    if (found.length >= options.lines) break;
  }
  const show = shower(options);
  if (options.lines > 0) for (const bytes of found) show(bytes);
  if (options.follow === true) await follow(path, wanted, show);
}

/** Prints every line of the record that matches. */
export function grepAudit(pattern: string | undefined, options: AuditFilter): void {
  const path = fileOf(options);
  const matches = patternOf(pattern);
  const wanted = filterOf(options);
  const show = shower(options);
  for (const file of attempt(path, () => recordFiles(path))) {
    for (const { bytes } of linesOf(attempt(file, () => readRecordFile(file)))) {
      if (wanted(bytes) && matches.test(Buffer.from(bytes).toString('utf8'))) show(bytes);
    }
  }
}

const FOLLOW_MS = 250;

async function follow(
  path: string,
  wanted: (bytes: Uint8Array) => boolean,
  show: (bytes: Uint8Array) => void,
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
      if (wanted(line.bytes)) show(line.bytes);
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

/** A table for people, JSON for programs; on a terminal, nothing that would act on it. */
function shower({ json }: AuditFilter): (bytes: Uint8Array) => void {
  const isTerminal = process.stdout.isTTY === true;
  return (bytes) => {
    const line = isTerminal && json !== true ? parseLine(bytes) : undefined;
    const raw = Buffer.from(bytes).toString('utf8');
    const text = line !== undefined ? row(line) : isTerminal ? visibleLine(raw) : raw;
    process.stdout.write(`${text}\n`);
  };
}

function row(line: AuditLine): string {
  const text = (name: string): string => visibleText(String(line[name] ?? '')).replaceAll('\n', ' ⏎ ');
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

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    fail(EXIT_FAILURE, `${path} cannot be read: ${describeErrno(error)}. Try it with sudo.`);
  }
}

function fileOf({ file }: AuditOptions): string {
  const named = file ?? processEnvironment()['AGENT3_AUDIT_FILE'];
  if (named) return named;
  if (existsSync(PATHS.manifest)) return PATHS.audit;
  fail(EXIT_USAGE, 'no audit record: name it with --file, or set AGENT3_AUDIT_FILE for the agent and here');
}
