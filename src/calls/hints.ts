import { constants } from 'node:os';
import type { Commands } from '../commands/commands.ts';
import { namesOf } from '../commands/ending.ts';
import { OWNER_TYPES, type Silence } from '../diagnosis/silence.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { Hint } from './answer.ts';
import type { Masker } from './masking.ts';
import { type CommandState, type HintContext, MIB, statusHint, survivorsHint } from './status-hints.ts';

export interface Notes {
  readonly silence: Silence | undefined;
  /** See `CommandState`. */
  readonly leftOver?: string | undefined;
  readonly more: readonly Hint[];
}

/** Returns the names of left-behind processes, without secrets; undefined without any. */
export async function leftOverOf(
  commands: Commands,
  session: Session,
  masker: Masker | undefined,
): Promise<string | undefined> {
  if (session.record.survivors === 0) return undefined;
  const names = namesOf(commands.treeOf(session).members());
  return (await masker?.mask(names)) ?? names;
}

/** Returns why the command of a session is silent, or that its owner types in its terminal. Takes 0.1 s. */
export async function silenceOf(commands: Commands, session: Session): Promise<Silence | undefined> {
  const isTaken = session.typist !== undefined && session.record.status === 'running';
  return isTaken ? OWNER_TYPES : commands.whySilent(session);
}

/** Returns all hints that follow from the record of a session. */
export function recordHints(record: SessionRecord, context: HintContext, told: CommandState): Hint[] {
  return [
    record.status === 'done' ? undefined : statusHint(record, context, told),
    ...limitHints(record),
    reservedHint(record),
    signalHint(record),
    ...textHints(record),
    record.survivors === 0 ? undefined : survivorsHint(record, context, told.leftOver),
    dialogHint(record, told.silence),
    record.owner_note || undefined,
    record.context_note,
    told.hidesStderr ? record.file_note : undefined,
    told.silence,
  ];
}

function dialogHint({ dialog_note, status }: SessionRecord, silence: Silence | undefined): Hint {
  if (!dialog_note || status !== 'running' || silence?.isTaken) return dialog_note || undefined;
  return {
    text: `${dialog_note} The command still runs: type with write_session, or stop it with kill_session.`,
    calls: ['write_session', 'kill_session'],
  };
}

/** The result of a dialog, and that its owner has typed, is reported once. */
export function forgetNotes(session: Session): void {
  const { dialog_ms, dialog_note, owner_note } = session.record;
  if (dialog_ms !== undefined && dialog_note !== '') session.update({ dialog_note: '' });
  if (owner_note) session.update({ owner_note: '' });
}

/** The exit code that shells report for SIGXFSZ: a program wrote beyond the limit for one file (setrlimit(2)). */
const FILE_TOO_LARGE = 128 + constants.signals.SIGXFSZ;

function limitHints({ hits, file_max, exit_code }: SessionRecord): string[] {
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
      `The CPU limit${of} for one command delayed its threads by ${seconds} s in all: allow more time, or do less at once.`,
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

/** Reports disk space that a running command has reserved: nothing is kept for it. */
function reservedHint({ status, reserved_bytes = 0, disk_bytes = 0 }: SessionRecord): string | undefined {
  if (reserved_bytes <= disk_bytes || status === 'output_limit') return undefined;
  return `The command had reserved ${reserved_bytes} bytes of the disk for its output; what it did not write was freed.`;
}

/** Reports bytes that are not text. */
export function binaryHint(...texts: readonly string[]): Hint {
  if (!texts.some((text) => text.includes('\uFFFD'))) return undefined;
  return {
    text: 'U+FFFD replaces bytes that are not UTF-8; read_session with encoding base64 returns them exactly.',
    calls: ['read_session'],
  };
}

/** What shells and env(1) write about a script with CRLF line ends, or without its interpreter. */
const NO_INTERPRETER =
  /\$'[^'\n]*\\r'|\\r['’]: No such file|\r: |cannot execute: required file not found|bad interpreter:/;

/** What bash and sh write about a script whose end comes too early; not about the text of the command itself. */
const TOO_SHORT = /(?<!-c): line \d+: syntax error: unexpected end of file|: \d+: Syntax error: end of file unexpected/;

/** Explains why an existing script could not be run, by what a failed command has written. */
export function scriptHint({ exit_code, cmd }: SessionRecord, stderr: string): Hint {
  if (!exit_code || cmd.includes('\r')) return undefined;
  if (NO_INTERPRETER.test(stderr))
    return "A script that it ran has CRLF line ends (sed -i 's/\\r$//' FILE), or its #! line names a program that is not there.";
  if (!TOO_SHORT.test(stderr)) return undefined;
  return "A script that it ran, or read from stdin, has CRLF line ends (send \\n only, or sed -i 's/\\r$//' FILE), or lacks its end, such as fi or done.";
}

/** Returns what the text of an ended command says about its outcome. */
function textHints(record: SessionRecord): (string | undefined)[] {
  const { status, cmd } = record;
  const hasRun = status !== 'running' && status !== 'waiting' && status !== 'denied';
  return hasRun ? [reopenHint(record), lineEndHint(cmd)] : [];
}

/** A redirection, or a program, that appends to a stream which it opens again. */
const APPENDS = />>\s*\/dev\/\w+|\btee\s+(?:-\w*a|--append)\s+\/dev\/\w+/g;

/** Reports a stream that a command may have emptied: its streams are files. */
export function reopenHint({ reopened = [], cmd }: Pick<SessionRecord, 'reopened' | 'cmd'>): string | undefined {
  if (reopened.length === 0) return undefined;
  const others = cmd.replace(APPENDS, '');
  if (others !== cmd && !/\/dev\/(?:std|fd)/.test(others)) return undefined;
  return `The command opened its own ${reopened.join(' and ')} again (> /dev/${reopened[0]}, tee, -o), which empties what the stream held before unless the program appends. Write >&1 or >&2, or append with >> or tee -a.`;
}

function lineEndHint(cmd: string): string | undefined {
  if (!cmd.includes('\r')) return undefined;
  return 'The command has carriage returns (\\r, as in CRLF line ends), which the shell keeps in words and here-documents. Send it with \\n only, unless you mean them.';
}

/** Warns of CRLF line ends in what was typed into a command with an open input. */
export function typedHint({ input }: SessionRecord, ...typed: readonly string[]): string | undefined {
  if (input === undefined || !typed.some((text) => text.includes('\r\n'))) return undefined;
  return input === 'terminal'
    ? 'The input has CRLF line ends (\\r\\n). A terminal takes each as two, so that the second may answer the next question: send \\n only.'
    : 'The input has CRLF line ends (\\r\\n), and the program reads each \\r: send \\n only, unless you mean them.';
}

/** Signals that end a command from outside, by number. */
const ENDING_SIGNALS = new Map(
  (['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const).map((name) => [
    constants.signals[name],
    name,
  ]),
);
/** After these, sent by kill_session, a command counts as done. */
const SENT_ON_REQUEST: readonly (string | undefined)[] = ['SIGUSR1', 'SIGUSR2'];

/** Reports a signal that ended a command, and the commonest reason: the search for a process found its own shell. */
function signalHint({ status, exit_code, hits, cmd }: SessionRecord): string | undefined {
  const signal = status === 'done' ? ENDING_SIGNALS.get((exit_code ?? 0) - 128) : undefined;
  if (signal === undefined || (hits !== undefined && hits.memory > 0)) return undefined;
  const isRequest = SENT_ON_REQUEST.includes(signal);
  // A shell ends with the code of its last program, also when only that was ended.
  const what = `${signal} ended the command or its last program${isRequest ? '' : ', and Agent3 did not send it'}`;
  if (!looksForProcesses(cmd))
    return isRequest
      ? undefined
      : `${what}: a process${signal === 'SIGKILL' ? ' or, without memory, the kernel' : ''} did.`;
  return `${what}. Most likely it found its own shell, whose command line holds the pattern as well: write one letter of it in brackets, as in pkill -f '[n]ginx', or use pkill -x.`;
}

/**
 * Whether a command looks for processes by their command lines: `pkill -f`, `pgrep -f`, `ps … | grep … kill`. A pattern
 * such as `[n]ginx` does not match itself.
 */
function looksForProcesses(cmd: string): boolean {
  if (/\[\w\]\w/.test(cmd)) return false;
  if (/\bp(?:kill|grep)\b/.test(cmd)) return /\s-(?:-full\b|[A-Za-z0-9]{0,8}f)/.test(cmd);
  return /\bps\b/.test(cmd) && /\bgrep\b/.test(cmd) && /\bkill\b/.test(cmd);
}

/** Names how to keep a server running, if commands may start services; a session ends at its limit. */
export function lastingHint(
  { status }: SessionRecord,
  silence: Silence | undefined,
  mayStartServices: boolean,
): string | undefined {
  if (status !== 'running' || silence?.serves !== true || !mayStartServices) return undefined;
  return 'To keep a server running for good, start it with systemd-run --unit=NAME COMMAND.';
}

/** Reports that output may be missing: the kernel refused it, and commands seldom say so. */
export function fullDiskHint(isFull: boolean): Hint {
  if (!isFull) return undefined;
  return {
    text: 'The disk that holds the sessions is full, so a part of the output may be missing. Free space, for example with close_session on sessions you no longer need, then run the command again if its output matters.',
    calls: ['close_session'],
  };
}
