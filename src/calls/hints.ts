import { constants } from 'node:os';
import type { Silence } from '../diagnosis/wait-words.ts';
import { MAX_WAIT_SECONDS } from '../lib/limits.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Hint } from './answer.ts';
import type { OperationLimits } from './context.ts';

type HintLimits = Pick<OperationLimits, 'replySeconds' | 'maxExecSeconds' | 'maxBackgroundSeconds' | 'maxSessionBytes'>;

export interface Notes {
  readonly silence: Silence | undefined;
  readonly more: readonly Hint[];
}

type NextRead = number | 'next_offset';

function offsetWords(next: NextRead | undefined): string {
  if (next === undefined) return '';
  return next === 'next_offset' ? 'its next_offset as offset and ' : `offset: ${next} and `;
}

/** Everything that the record of a session has to say. */
export function recordHints(record: SessionRecord, limits: HintLimits, silence?: Silence, next?: NextRead): Hint[] {
  const status =
    silence?.asks === true
      ? `The command runs, up to ${record.execution_seconds} s.`
      : statusHint(record, limits, next);
  const longer = record.status === 'timeout' ? longerHint(record, limits) : undefined;
  return [
    status,
    longer,
    ...ceilingHints(record),
    reservedHint(record),
    signalHint(record),
    ...textHints(record),
    survivorsHint(record.survivors),
    silence,
  ];
}

const MIB = 1_048_576;
/** How a shell tells that SIGXFSZ ended a program: it wrote beyond the limit for one file (setrlimit(2)). */
const FILE_TOO_LARGE = 128 + constants.signals.SIGXFSZ;

function ceilingHints({ hits, file_max, exit_code }: SessionRecord): string[] {
  const hints: string[] = [];
  if (hits !== undefined && hits.memory > 0) {
    const of = hits.memory_max === undefined ? '' : ` of ${Math.round(hits.memory_max / MIB)} MiB`;
    hints.push(`${countOf(hits.memory)} killed by the memory limit${of} for one command: use less memory at once.`);
  }
  if (hits !== undefined && hits.processes > 0) {
    const of = hits.processes_max === undefined ? '' : ` of ${hits.processes_max}`;
    hints.push(
      `The limit${of} for the processes and threads of one command was reached, and some could not be started.`,
    );
  }
  if (hits?.throttled_ms !== undefined) {
    const of = hits.cpu_percent === undefined ? '' : ` of ${hits.cpu_percent} % of one CPU`;
    const seconds = (hits.throttled_ms / 1000).toFixed(1);
    hints.push(
      `The CPU limit${of} for one command held its threads back for ${seconds} s in all: give it more time, or less work at once.`,
    );
  }
  if (file_max !== undefined && exit_code === FILE_TOO_LARGE) {
    hints.push(
      `A program was stopped because it wrote more than a file may hold here (${Math.round(file_max / MIB)} MiB): write less, or to several files.`,
    );
  }
  return hints;
}

function countOf(processes: number): string {
  return processes === 1 ? '1 process was' : `${processes} processes were`;
}

/** Why a command was stopped that nobody asked to stop. */
export const TAKEN_BACK = 'its client took the call back';

/** What the status of a session means and which call comes next; nothing for a command that is simply done. */
function statusHint(record: SessionRecord, limits: HintLimits, next: NextRead | undefined): Hint {
  switch (record.status) {
    case 'running':
      return {
        text: `The command is still running and goes on until its limit of ${record.execution_seconds} s. Call read_session with this session, ${offsetWords(next)}wait: ${Math.min(MAX_WAIT_SECONDS, Math.floor(limits.replySeconds))} to follow it, or close_session to stop it.`,
        calls: ['read_session', 'close_session'],
      };
    case 'timeout':
      return `The command was stopped at its execution limit of ${record.execution_seconds} s; its output until then is kept.${waitedFor(record)}`;
    case 'killed':
      return record.taken_back
        ? `The command was stopped because ${TAKEN_BACK}.`
        : 'The command was stopped on request, by kill_session or close_session.';
    case 'output_limit':
      return `The command was stopped because ${tooMuch(record, limits.maxSessionBytes)}; what it wrote is kept. Run it again with its output filtered or redirected to a file.`;
    case 'lost':
      return 'The agent or the machine stopped while the command ran, so its end and exit code are unknown; the output it wrote is kept. Check what it has done before you run it again.';
    case 'waiting':
      return {
        text: `Nothing has run yet: a person has to approve this command, because ${reasonOf(record)}. Do not send it again; call read_session with this session and wait: ${Math.min(MAX_WAIT_SECONDS, Math.floor(limits.replySeconds))} to follow it, for up to 10 minutes.`,
        calls: ['read_session'],
      };
    case 'denied':
      return `Nothing was run: ${reasonOf(record)}. ${afterDenial(record)}`;
    case 'done':
      return undefined;
    default:
      return record.status satisfies never;
  }
}

/** Where nobody has decided against it, the same call is no way round a decision. */
function afterDenial({ decision, key }: SessionRecord): string {
  switch (decision?.action) {
    case 'stopped':
    case 'expired':
    case 'withdrawn':
    case 'failed':
      return `Nobody has decided against it: if it is still needed, send the same call again${key === null ? '' : ', with another key'}.`;
    case 'tampered':
      return 'Tell the user of it, who has to look at the server before anything else is done there.';
    default:
      return 'Do not try it in another way; do the task without it, or tell the user.';
  }
}

/** Why a command waits or was not run: without a full stop, with the part of the command that it is about. */
export function reasonOf({ decision }: SessionRecord): string {
  const reason = decision?.reason ?? '';
  const words = reason.endsWith('.') ? reason.slice(0, -1) : reason;
  return decision?.part === undefined ? words : `${words} (${decision.part})`;
}

function waitedFor({ waited_for }: SessionRecord): string {
  return waited_for === undefined ? '' : ` It was silent: ${waited_for}`;
}

function tooMuch({ stdout_bytes, stderr_bytes, reserved_bytes = 0, file_max }: SessionRecord, max: number): string {
  if (stdout_bytes + stderr_bytes > max) return `it wrote more than a session may hold (${max} bytes)`;
  if (reserved_bytes > max) {
    return `it reserved more of the disk for its output than a session may hold (${max} bytes)`;
  }
  if (file_max !== undefined && reserved_bytes > file_max) {
    return `it reserved more of the disk for its output than a file may hold here (${Math.round(file_max / MIB)} MiB)`;
  }
  return 'all sessions together had become too large, those of this token took the most, and it was the largest of them that ran';
}

/** Tells of a command that was not stopped: nothing is kept for it. */
function reservedHint({ status, reserved_bytes = 0, disk_bytes = 0 }: SessionRecord): string | undefined {
  if (reserved_bytes <= disk_bytes || status === 'output_limit') return undefined;
  return `The command had reserved ${reserved_bytes} bytes of the disk for its output; what it did not write was given back.`;
}

function longerHint(record: SessionRecord, { maxExecSeconds, maxBackgroundSeconds }: HintLimits): Hint {
  if (record.execution_seconds < maxExecSeconds) {
    const longer = maxBackgroundSeconds > maxExecSeconds ? ', or background: true for longer work' : '';
    return `A timeout of up to ${maxExecSeconds} is allowed${longer}.`;
  }
  if (record.execution_seconds < maxBackgroundSeconds) {
    return {
      text: `With background: true it may run up to ${maxBackgroundSeconds} s; follow it with read_session and wait.`,
      calls: ['read_session'],
    };
  }
  return 'Split the work into shorter commands.';
}

function survivorsHint(count: number): Hint {
  if (count === 0) return undefined;
  const subject = count === 1 ? '1 process it started is' : `${count} processes it started are`;
  return {
    text: `The command has ended, and ${subject} still running in this session: read_session shows what they write, close_session stops them.`,
    calls: ['read_session', 'close_session'],
  };
}

/** Tells of bytes that are no text. */
export function binaryHint(...texts: readonly string[]): Hint {
  if (!texts.some((text) => text.includes('\uFFFD'))) return undefined;
  return {
    text: 'The output has bytes that are no UTF-8, shown as U+FFFD; read_session with encoding "base64" gives them exactly.',
    calls: ['read_session'],
  };
}

/** What the text of a command that has ended says of its outcome. */
function textHints({ status, cmd }: SessionRecord): (string | undefined)[] {
  const hasRun = status !== 'running' && status !== 'waiting' && status !== 'denied';
  return hasRun ? [reopenHint(cmd), lineEndHint(cmd)] : [];
}

/** A redirection that opens a stream's file anew and empties it: `> /dev/stdout`, `2>/dev/fd/2`; not `>>`, not `>&2`. */
const REOPENS_STREAM = /(?<!>)>\|?\s*\/(?:dev\/(?:stdout|stderr|fd\/[12])|proc\/self\/fd\/[12])\b/;

/** Tells of a redirection that loses what the stream had: the streams of a command are files. */
export function reopenHint(cmd: string): string | undefined {
  if (!REOPENS_STREAM.test(cmd)) return undefined;
  return 'The command redirects with > to /dev/stdout or /dev/stderr, which empties what the stream held before; write >&1 or >&2 instead, which adds to it.';
}

function lineEndHint(cmd: string): string | undefined {
  if (!cmd.includes('\r')) return undefined;
  return 'The command has carriage returns (\\r, as in CRLF line ends), which the shell takes for parts of words and of here-documents. Send it with \\n alone unless they are meant.';
}

/** What ends a command from outside, by its number. */
const ENDING_SIGNALS = new Map(
  (['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM'] as const).map((name) => [constants.signals[name], name]),
);

/** Tells of a signal that ended a command by itself, and of the commonest reason: its shell was found by its own text. */
function signalHint({ status, exit_code, hits, cmd }: SessionRecord): string | undefined {
  const signal = status === 'done' ? ENDING_SIGNALS.get((exit_code ?? 0) - 128) : undefined;
  if (signal === undefined || (hits !== undefined && hits.memory > 0)) return undefined;
  const what = `${signal} ended the command, and Agent3 did not send it`;
  if (!looksForProcesses(cmd))
    return `${what}: a process${signal === 'SIGKILL' ? ' or, without memory, the kernel' : ''} did.`;
  return `${what}. Most likely it found its own shell, whose command line holds the pattern as well: write one letter of it in brackets, as in pkill -f '[n]ginx', or use pkill -x.`;
}

/** Whether a command looks for processes by their command lines: `pkill -f`, `pgrep -f`, `ps … | grep … kill`. */
function looksForProcesses(cmd: string): boolean {
  if (/\bp(?:kill|grep)\b/.test(cmd)) return /\s-(?:-full\b|[A-Za-z0-9]{0,8}f)/.test(cmd);
  return /\bps\b/.test(cmd) && /\bgrep\b/.test(cmd) && /\bkill\b/.test(cmd);
}

/** Tells that output may be missing: the kernel refused it, and commands seldom say so. */
export function fullDiskHint(isFull: boolean): Hint {
  if (!isFull) return undefined;
  return {
    text: 'The disk that holds the sessions is full, so a part of the output may be missing. Free space, for example with close_session on sessions you no longer need, then run the command again if its output matters.',
    calls: ['close_session'],
  };
}
