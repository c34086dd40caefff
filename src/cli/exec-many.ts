import { isatty } from 'node:tty';
import type { AgentClient } from '../client/agent-client.ts';
import { isTransient, isTransientOnceReached, retry } from '../client/backoff.ts';
import { writeAll } from '../client/descriptor.ts';
import { visibleText } from '../lib/visible.ts';

/** Longest wait of one request for the state of a run, in seconds. */
const WAIT_SECONDS = 2;

interface Group {
  readonly servers: readonly string[];
  readonly exit_code: number | null;
  readonly status?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly diff?: string;
  readonly omitted_chars?: number;
}

/** The answer of `run_on` or `read_run`. */
interface RunAnswer {
  readonly run: string;
  readonly status: string;
  readonly servers: readonly string[];
  readonly groups: readonly Group[];
  readonly running?: readonly string[];
  readonly waiting?: readonly string[];
  readonly plan?: boolean;
  readonly unreachable?: readonly string[];
  readonly not_started?: readonly string[];
  readonly failed?: readonly {
    readonly servers: readonly string[];
    readonly error: string;
    readonly message: string;
  }[];
}

/**
 * Runs a command on many servers of a fleet and prints equal answers once. Returns the exit code: 0 when all succeeded,
 * else 1. Throws a `ClientFault`.
 */
export async function execOnMany(client: AgentClient, args: Readonly<Record<string, unknown>>): Promise<number> {
  let answer = await retry(() => client.call<RunAnswer>('run_on', args), isTransientOnceReached());
  for (let told = ''; answer.status === 'running'; ) {
    const asks = describeWaiting(answer);
    if (asks !== told && asks !== '') process.stderr.write(`agent3: ${visibleText(asks)}\n`);
    told = asks;
    showProgress(answer);
    const look = { run: answer.run, wait: WAIT_SECONDS };
    answer = await retry(() => client.call<RunAnswer>('read_run', look, { seconds: 30 }), isTransient);
  }
  clearProgress();
  await writeAll(1, Buffer.from(answer.groups.map(describeGroup).join('')));
  for (const line of faultsOf(answer)) process.stderr.write(`agent3: ${visibleText(line)}\n`);
  const isWell = answer.groups.every(({ exit_code }) => exit_code === 0) && faultsOf(answer).length === 0;
  return isWell ? 0 : 1;
}

/** Formats the first line of a group: its servers, and what went wrong. */
function describeGroup({ servers, exit_code, status, stdout, stderr, diff, omitted_chars }: Group): string {
  const why = [...(status === undefined ? [] : [status]), ...(exit_code === 0 ? [] : [`exit code ${exit_code}`])];
  const head = `${servers.join(', ')}${why.length > 0 ? ` (${why.join(', ')})` : ''}:`;
  const left = omitted_chars === undefined ? '' : `[${omitted_chars} characters not shown]\n`;
  const parts = [stdout, diff === undefined ? undefined : `[difference from the first]\n${diff}`, stderr, left];
  return `${head}\n${parts.map((part) => (part ? ended(part) : '')).join('')}`;
}

function ended(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

function faultsOf({ unreachable, failed = [], not_started }: RunAnswer): string[] {
  return [
    ...(unreachable ? [`unreachable, nothing was run: ${unreachable.join(', ')}`] : []),
    ...failed.map(({ servers, error, message }) => `${servers.join(', ')}: ${error}: ${message}`),
    ...(not_started ? [`not started: ${not_started.join(', ')}`] : []),
  ];
}

/** Describes what a person has to approve; empty if nothing waits. */
function describeWaiting({ waiting = [], plan }: RunAnswer): string {
  if (waiting.length === 0) return '';
  const what = plan === true ? 'one approval at the console of the hub' : 'approval';
  return `waiting for ${what}: ${waiting.join(', ')}`;
}

function showProgress({ groups, running = [] }: RunAnswer): void {
  if (!isatty(2)) return;
  const line = `${groups.length} different answers so far; runs on ${running.join(', ') || 'none'}`;
  process.stderr.write(`\r\u{1b}[K${visibleText(line).slice(0, 100)}`);
}

function clearProgress(): void {
  if (isatty(2)) process.stderr.write('\r\u{1b}[K');
}
