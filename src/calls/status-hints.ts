import type { Silence } from '../diagnosis/silence.ts';
import { MAX_WAIT_SECONDS } from '../lib/limits.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Hint } from './answer.ts';
import { longestSeconds, type OperationLimits } from './context.ts';

type HintLimits = Pick<
  OperationLimits,
  'replySeconds' | 'maxExecSeconds' | 'maxBackgroundSeconds' | 'foregroundSeconds' | 'maxSessionBytes'
>;

/** What the hints of an answer depend on. */
export interface HintContext {
  readonly limits: HintLimits;
  /** The lean doors repeat no field in words, and name one call. */
  readonly isLean?: boolean;
}

/** The current state of the command that an answer is about. */
export interface CommandState {
  readonly silence?: Silence | undefined;
  /** How long it has run, in milliseconds. */
  readonly durationMs: number;
  /** Where the next read begins; `next_offset`: the field says it. */
  readonly next: number | 'next_offset' | undefined;
  /** The answer omits the standard error, where the agent writes why something was not done. */
  readonly hidesStderr?: boolean;
  /** The names of left-behind processes, in one text; undefined or empty: not known. */
  readonly leftOver?: string | undefined;
}

export const MIB = 1_048_576;

/** Returns why a command was stopped by somebody else than its client; undefined if it was not. */
export function whyStopped({ status, stopped_by, taken_back }: SessionRecord): string | undefined {
  if (status !== 'killed') return undefined;
  if (stopped_by !== undefined) return `the owner of the server ordered it: ${stopped_by}`;
  return taken_back ? 'its client took the call back' : undefined;
}

/** Returns what the status of a session means and which call comes next; nothing for a command that is simply done. */
export function statusHint(record: SessionRecord, { limits, isLean }: HintContext, told: CommandState): Hint {
  if (isLean) return leanStatusHint(record, limits, told);
  switch (record.status) {
    case 'running':
      return runningHint(record, limits, told);
    case 'timeout':
      return joined(
        `The command was stopped at its execution limit of ${record.execution_seconds} s; its output until then is kept.${waitedFor(record)}`,
        longerHint(record, limits, false),
      );
    case 'killed':
      return whyKilled(record) ?? 'The command was stopped on request, by kill_session or close_session.';
    default:
      return endHint(record, limits);
  }
}

/** The same for the lean doors, whose fields say that it runs, was stopped or has ended. */
function leanStatusHint(record: SessionRecord, limits: HintLimits, told: CommandState): Hint {
  const { silence, next, durationMs } = told;
  const { status, execution_seconds: seconds } = record;
  switch (status) {
    case 'running': {
      if (next === 'next_offset') return undefined;
      const stays = isBrief(record, limits)
        ? `It will be stopped in ${secondsLeft(record, durationMs)} s, at the limit of ${seconds} s`
        : `It runs up to ${seconds} s`;
      // The question of the command decides which call comes next.
      if (silence?.asks) return `${stays}.`;
      const offset = next === undefined || next === 0 ? '' : `offset ${next}, `;
      return { text: `${stays}; next: read_session ${offset}wait ${waitSeconds(limits)}.`, calls: ['read_session'] };
    }
    case 'timeout':
      return joined(`It was stopped after ${seconds} s.${waitedFor(record)}`, longerHint(record, limits, true));
    case 'killed':
      return whyKilled(record);
    case 'denied':
      return told.hidesStderr ? endHint(record, limits) : afterDenial(record);
    default:
      return endHint(record, limits);
  }
}

function whyKilled(record: SessionRecord): string | undefined {
  const why = whyStopped(record);
  return why === undefined ? undefined : `The command was stopped because ${why}.`;
}

/** Returns the longest `wait` that an answer has time for. */
function waitSeconds({ replySeconds }: HintLimits): number {
  return Math.max(1, Math.min(MAX_WAIT_SECONDS, Math.floor(replySeconds)));
}

/** Whether a command has the time limit of one that is not in the background. */
function isBrief({ execution_seconds }: SessionRecord, { maxExecSeconds }: HintLimits): boolean {
  return execution_seconds <= maxExecSeconds;
}

function secondsLeft({ execution_seconds }: SessionRecord, durationMs: number): number {
  return Math.max(1, Math.round(execution_seconds - durationMs / 1000));
}

function runningHint(record: SessionRecord, limits: HintLimits, { silence, durationMs, next }: CommandState): Hint {
  const seconds = record.execution_seconds;
  if (silence?.asks) return `The command runs, up to ${seconds} s.`;
  const offset = next === undefined ? '' : next === 'next_offset' ? NEXT_OFFSET : `offset: ${next} and `;
  const call = `Call read_session with this session, ${offset}wait: ${waitSeconds(limits)} to follow it`;
  if (!isBrief(record, limits) || limits.maxBackgroundSeconds <= seconds)
    return {
      text: `The command is still running, up to its limit of ${seconds} s. ${call}, or close_session to stop it.`,
      calls: ['read_session', 'close_session'],
    };
  return {
    text: `The command is still running, and will be stopped in ${secondsLeft(record, durationMs)} s at its limit of ${seconds} s. ${call}. To let such a command run on, send it with on_timeout: "background".`,
    calls: ['read_session'],
  };
}

const NEXT_OFFSET = 'its next_offset as offset and ';

function joined(text: string, more: Hint): Hint {
  if (more === undefined) return text;
  return typeof more === 'string' ? `${text} ${more}` : { ...more, text: `${text} ${more.text}` };
}

/** Returns the hint of every door for a command that has ended, waits, or was not run. */
function endHint(record: SessionRecord, limits: HintLimits): Hint {
  switch (record.status) {
    case 'output_limit':
      return `The command was stopped because ${tooMuch(record, limits.maxSessionBytes)}; what it wrote is kept. Run it again with its output filtered or redirected to a file.`;
    case 'lost':
      return 'The agent or the machine stopped while the command ran, so its end and exit code are unknown; the output it wrote is kept. Check what it has done before you run it again.';
    case 'waiting':
      return {
        text: `Nothing has run yet: a person has to approve this command, because ${reasonOf(record)}. Do not send it again; call read_session with this session and wait: ${waitSeconds(limits)} to follow it, for up to 10 minutes.`,
        calls: ['read_session'],
      };
    case 'denied':
      return `Nothing was run: ${reasonOf(record)}. ${afterDenial(record)}`;
    default:
      return undefined;
  }
}

/** If nobody has denied it, repeating the same call does not evade a decision. */
function afterDenial({ decision, key }: SessionRecord): string {
  switch (decision?.action) {
    case 'stopped':
    case 'expired':
    case 'withdrawn':
    case 'failed':
    case 'no_directory':
      return `Nobody has decided against it: if it is still needed, send the same call again${key === null ? '' : ', with another key'}.`;
    case 'tampered':
      return 'Tell the user, who has to look at the server before you do anything else there.';
    default:
      return 'Do not try it in another way: do the task without it, or tell the user.';
  }
}

/** Returns why a command waits or was not run: without a full stop, with the part of the command in question. */
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
  return 'all sessions together had become too large, and it was the largest running one of the token that used the most';
}

function longerHint(record: SessionRecord, limits: HintLimits, isLean: boolean): Hint {
  const most = limits.foregroundSeconds ?? longestSeconds(limits);
  const seconds = record.execution_seconds;
  if (isLean && seconds < most) return `Without timeout it runs up to ${most} s.`;
  if (seconds < Math.min(most, limits.maxExecSeconds)) return `A timeout of up to ${most} is allowed.`;
  return longerInBackground(record, limits);
}

function longerInBackground({ execution_seconds }: SessionRecord, { maxBackgroundSeconds }: HintLimits): Hint {
  if (execution_seconds >= maxBackgroundSeconds) return 'Split the work into shorter commands.';
  return {
    text: `With background: true it may run up to ${maxBackgroundSeconds} s; follow it with read_session and wait.`,
    calls: ['read_session'],
  };
}

export function survivorsHint({ survivors: count }: SessionRecord, { isLean }: HintContext, leftOver = ''): Hint {
  const names = leftOver === '' ? '' : ` (${leftOver})`;
  if (isLean) {
    const subject = count === 1 ? `1 process it started${names} runs` : `${count} processes it started${names} run`;
    return { text: `${subject} on until close_session.`, calls: ['close_session'] };
  }
  const subject = count === 1 ? `1 process it started${names} is` : `${count} processes it started${names} are`;
  return {
    text: `The command has ended, and ${subject} still running in this session: read_session shows what they write, close_session stops them.`,
    calls: ['read_session', 'close_session'],
  };
}
