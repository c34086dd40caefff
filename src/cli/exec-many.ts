import { isatty } from 'node:tty';
import type { AgentClient } from '../client/agent-client.ts';
import { leave, note } from '../client/attend.ts';
import { Backoff, isTransient, isTransientOnceReached, retry } from '../client/backoff.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault } from '../client/faults.ts';
import { type Interrupts, signalFor } from '../client/interrupts.ts';
import { visibleText } from '../lib/visible.ts';

/** Longest wait of one request for the state of a run, in seconds. */
const WAIT_SECONDS = 2;
/** A hub answers within this time when it stops a run. */
export const STOP_SECONDS = 60;

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
  readonly failed?: readonly Failure[];
}

interface Failure {
  readonly servers: readonly string[];
  readonly error: string;
  readonly message: string;
}

/** The answer of `kill_session` for a run. */
export interface StopAnswer {
  readonly run: string;
  readonly stopped?: readonly string[];
  readonly withdrawn?: readonly string[];
  readonly ended?: readonly string[];
  readonly running?: readonly string[];
  readonly not_reached?: readonly string[];
  readonly failed?: readonly Failure[];
}

/**
 * Runs a command on many servers of a fleet and prints equal answers once. A signal stops it on all of them. Returns the
 * exit code: that of the signal, else 0 when all succeeded and 1 when not. Throws a `ClientFault`.
 */
export async function execOnMany(
  client: AgentClient,
  args: Readonly<Record<string, unknown>>,
  interrupts: Interrupts,
): Promise<number> {
  interrupts.listen((_, count) => {
    // The first signal stops the command as soon as its run is known.
    if (count > 1) leave(interrupts, 'the command may have started on some servers');
  });
  let answer = await retry(
    () => client.call<RunAnswer>('run_on', { ...args, wait: WAIT_SECONDS }),
    isTransientOnceReached(),
    new Backoff(interrupts.signal),
  );
  const { run } = answer;
  const stops: Promise<void>[] = [];
  interrupts.listen((signal, count) => {
    if (count > 2) leave(interrupts, `if it still runs: agent3 session stop --signal KILL ${run}`);
    if (answer.status === 'running') stops.push(stop(client, run, signalFor(signal, count)));
  });
  for (let told = ''; answer.status === 'running'; ) {
    const asks = describeWaiting(answer);
    if (asks !== told && asks !== '') note(asks);
    told = asks;
    showProgress(answer);
    const look = { run: answer.run, wait: WAIT_SECONDS };
    answer = await retry(() => client.call<RunAnswer>('read_run', look, { seconds: 30 }), isTransient);
  }
  await Promise.all(stops);
  clearProgress();
  await writeAll(1, Buffer.from(answer.groups.map(describeGroup).join('')));
  for (const line of faultsOf(answer)) note(line);
  const isWell = answer.groups.every(({ exit_code }) => exit_code === 0) && faultsOf(answer).length === 0;
  return interrupts.exitCode ?? (isWell ? 0 : 1);
}

async function stop(client: AgentClient, run: string, signal: string): Promise<void> {
  const args = { session: run, signal };
  try {
    const answer = await retry(
      () => client.call<StopAnswer>('kill_session', args, { seconds: STOP_SECONDS }),
      isTransient,
    );
    clearProgress();
    for (const line of describeStop(answer)) note(line);
  } catch (error) {
    if (!(error instanceof ClientFault)) throw error;
    note(`the command was not stopped: ${error.message}`);
  }
}

/** Describes how a stop went, a line for each kind of server. */
export function describeStop({ stopped, withdrawn, ended, running, not_reached, failed = [] }: StopAnswer): string[] {
  const lists = [
    ['stopped', stopped],
    ['not approved any more, nothing was run', withdrawn],
    ['ended before', ended],
    ['signalled, but not ended yet', running],
    ['not reached, and may still run', not_reached],
  ] as const;
  return [
    ...lists.flatMap(([what, names]) => (names === undefined ? [] : [`${what}: ${names.join(', ')}`])),
    ...failed.map(({ servers, error, message }) => `not stopped: ${servers.join(', ')}: ${error}: ${message}`),
  ];
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
