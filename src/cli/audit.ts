import { readFileSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { type AuditLine, linesOf, parseLine } from '../audit/chain.ts';
import { readRecordFile, recordFiles } from '../audit/files.ts';
import { describeVerification, verifyRecord } from '../audit/verify.ts';
import { writeAll } from '../client/descriptor.ts';
import { checkSignatures, describeSigners } from '../console/signed-lines.ts';
import { installedAuditKey } from '../install/installed.ts';
import { delay } from '../lib/clock.ts';
import { parseDuration } from '../lib/duration.ts';
import { visibleJson, visibleJsonText, visibleLine } from '../lib/visible.ts';
import { processEnvironment } from '../settings/environment.ts';
import { cannotRead, EXIT_FAILURE, EXIT_USAGE, type ExitCode, fail } from './exit.ts';
import { auditFile } from './here.ts';
import { numberOption } from './number-option.ts';

/** The events of the record. */
export const EVENTS = [
  'start',
  'end',
  'decision',
  'operation',
  'output',
  'login',
  'grant',
  'agent',
  'recovered',
  'tampered',
] as const;

/** `agent3 audit`: the record of what was asked, run and decided on this server. */
export function defineAudit(audit: Command): void {
  withFilter(audit.command('tail').description('Show the last lines of the record'))
    .option('-n, --lines <count>', 'number of lines', parseCount, 20)
    .option('-f, --follow', 'continue with new lines, until Ctrl-C')
    .action(tailAudit);
  withFilter(audit.command('grep [pattern]').description('Show lines that match a regular expression and the filters'))
    .addHelpText(
      'after',
      '\nExit code: 0 a line matches, 1 no line matches, 2 wrong usage or the record cannot be read.',
    )
    .action(grepAudit);
  audit
    .command('verify')
    .description('Find lines that were changed, removed, added or moved')
    .option('--kept <count>', 'number of older files that logrotate keeps', parseCount, 90)
    .option('--require-key', 'exit with 2 when the key for the seals is missing, and with 1 when no line is sealed')
    .option('--json', 'print JSON')
    .addOption(fileOption())
    .addHelpText('after', KEY_HELP)
    .action(verifyAudit);
}

const fileOption = () =>
  new Option('--file <file>', 'audit record (default: AGENT3_AUDIT_FILE, or that of the installed service)');

function withFilter<A extends unknown[]>(command: Command<A>) {
  return command
    .option('--token <name>', 'only lines of this token')
    .option('--session <id>', 'only lines of this session (the beginning of its id is enough)')
    .addOption(new Option('--event <name>', 'only lines of this kind').choices(EVENTS))
    .option('--since <time>', 'only lines since then: 2h, 3d, or 2026-11-24T08:00:00Z', parseMoment)
    .option('--until <time>', 'only lines before then', parseMoment)
    .option('--json', 'print the lines as JSON (default without a terminal)')
    .addOption(fileOption());
}

/** Times are milliseconds since the epoch. */
type AuditFilter = ReturnType<ReturnType<typeof withFilter>['opts']>;

const KEY_HELP = `
The key is AGENT3_AUDIT_KEY or, for root, that of the installed service. Without it, forged lines at the end are not
found. Exit code: 0 intact, 1 something is wrong, 2 wrong usage, or no key with --require-key.`;

function parseMoment(text: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Date.now() - ago;
  const moment = Date.parse(text);
  if (Number.isNaN(moment)) throw new InvalidArgumentError('Write a time as 2h, 3d, or 2026-11-24T08:00:00Z.');
  return moment;
}

const parseCount = numberOption(/^\d+$/, 0, 9_999_999, 'It must be a whole number.');

interface VerifyOptions {
  readonly file?: string | undefined;
  /** Number of older files that logrotate keeps. */
  readonly kept: number;
  /** Whether a record whose seals cannot be checked is a fault. */
  readonly requireKey?: true | undefined;
  readonly json?: true | undefined;
}

async function verifyAudit(options: VerifyOptions): Promise<void> {
  const path = auditFile(options.file);
  const key = processEnvironment()['AGENT3_AUDIT_KEY'] || installedAuditKey();
  if (options.requireKey === true && key === undefined) {
    fail(
      EXIT_USAGE,
      'there is no key to check the seals: set AGENT3_AUDIT_KEY, or run it as root where the agent is installed',
    );
  }
  const { signed, ...lines } = attempt(path, () => verifyRecord(path, { key, kept: options.kept }));
  if (lines.files.length === 0) fail(EXIT_FAILURE, `there is no record ${path}`);
  const { findings, signers } = await checkSignatures(signed, lines.first);
  const found = { ...lines, findings: [...lines.findings, ...findings], signers };
  const words = [...describeVerification(found, key !== undefined), ...describeSigners(signers)];
  await print(options.json === true ? [visibleJson(found)] : words);
  if (options.requireKey === true && found.sealed === 0) {
    fail(EXIT_FAILURE, 'no line is sealed, and --require-key requires a seal');
  }
  if (found.findings.length > 0) process.exit(EXIT_FAILURE);
}

async function tailAudit(
  options: AuditFilter & { readonly lines: number; readonly follow?: true | undefined },
): Promise<void> {
  const path = auditFile(options.file);
  const wanted = filterOf(options);
  const files = attempt(path, () => recordFiles(path));
  if (files.length === 0 && options.follow !== true) fail(EXIT_FAILURE, `there is no record ${path}`);
  let found: Uint8Array[] = [];
  for (const file of files.reverse()) {
    const matching = linesIn(file).filter(wanted);
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

/** The exit codes of grep. */
const GREP_EXIT = { noMatch: 1, trouble: 2 } as const;

async function grepAudit(pattern: string | undefined, options: AuditFilter): Promise<void> {
  const path = auditFile(options.file);
  const matches = patternOf(pattern);
  const wanted = filterOf(options);
  const textOf = texter(options);
  const files = attempt(path, () => recordFiles(path), GREP_EXIT.trouble);
  if (files.length === 0) fail(GREP_EXIT.trouble, `there is no record ${path}`);
  let count = 0;
  for (const file of files) {
    const found = linesIn(file, GREP_EXIT.trouble).filter(
      (bytes) => wanted(bytes) && matches.test(Buffer.from(bytes).toString('utf8')),
    );
    count += found.length;
    await print(found.map(textOf));
  }
  if (count > 0) return;
  await noteNoMatch();
  process.exit(process.exitCode ?? GREP_EXIT.noMatch);
}

/** Waits for the reader, so that a long record is not held in memory, and not read further when the reader has gone. */
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
    fail(EXIT_USAGE, `the pattern is not a regular expression: ${error instanceof Error ? error.message : ''}`);
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

/** Formats lines: a table without control characters for a terminal, JSON for programs. */
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
    case 'grant':
      return `${text('what')}${line['why'] ? `: ${text('why')}` : ''}${line['redirect'] ? ` to ${text('redirect')}` : ''}${line['address'] ? ` from ${text('address')}` : ''}`;
    case 'login':
      return `${text('what')} from ${text('address')}`;
    default:
      return `${text('what')}${line['kind'] ? `: ${text('kind')}` : ''}${line['refused'] ? `, refused: ${text('refused')}` : ''}${line['by'] ? ` (${text('by')})` : ''}`;
  }
}

/** Returns the lines of a file. Of one that is damaged it says so, and the program ends with `code` after the others. */
function linesIn(file: string, code: ExitCode = EXIT_FAILURE): Uint8Array[] {
  const damaged = (why: string): void => {
    process.exitCode = code;
    process.stderr.write(`agent3: ${visibleLine(`${file} cannot be read: ${why}`)}\n`);
  };
  const bytes = attempt(file, () => readRecordFile(file, damaged), code);
  return [...linesOf(bytes)].map((line) => line.bytes);
}

function attempt<T>(path: string, work: () => T, code: ExitCode = EXIT_FAILURE): T {
  try {
    return work();
  } catch (error) {
    fail(code, cannotRead(path, error));
  }
}
