import { type Static, Type } from '@sinclair/typebox';
import type { OperationLimits } from '../calls/context.ts';
import { BackgroundOff, InvalidArguments } from '../lib/errors.ts';
import { MAX_COMMAND_CHARS, MAX_KEY_CHARS, MIN_OUTPUT_BYTES, MIN_TIMEOUT_SECONDS } from '../lib/limits.ts';

/** The arguments of `shell`. */
export function shellArguments(limits: OperationLimits) {
  return Type.Object({
    cmd: Type.String({
      minLength: 1,
      maxLength: MAX_COMMAND_CHARS,
      description: 'Command or script.',
      examples: ['uptime'],
    }),
    cwd: Type.Optional(
      Type.String({
        pattern: '^/',
        description: 'Working directory, absolute. Instead of cd.',
      }),
    ),
    env: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Variables of the command. Instead of export.',
    }),
    stdin: Type.String({
      default: '',
      description: 'Standard input. To write a file without quoting: cat > path.',
    }),
    interactive: Type.Boolean({
      default: false,
      description: 'For a command that asks questions: answers when it waits for input; reply with write_session.',
    }),
    pty: Type.Boolean({
      default: false,
      description: 'As interactive, in a terminal: for sudo, passwd, ssh, installers. All output is stdout.',
    }),
    rows: Type.Integer({ minimum: 1, maximum: 1000, default: 24, description: 'Lines of the terminal.' }),
    cols: Type.Integer({ minimum: 1, maximum: 1000, default: 120, description: 'Columns of the terminal.' }),
    plain: Type.Optional(Type.Boolean({ description: 'No escape sequences. Default: true with pty.' })),
    timeout: Type.Optional(
      Type.Number({
        minimum: MIN_TIMEOUT_SECONDS,
        description: `Seconds until the command is stopped, up to ${limits.maxExecSeconds} (default), or ${limits.maxBackgroundSeconds} with background, interactive or pty.`,
      }),
    ),
    background: Type.Boolean({
      default: false,
      description: 'Answers at once and lets the command continue: for a server or other long work.',
    }),
    on_timeout: Type.Optional(
      Type.Union([Type.Literal('kill'), Type.Literal('background')], {
        description: `background lets it continue at timeout. Default: ${limits.onTimeout}.`,
      }),
    ),
    keep: Type.Union([Type.Literal('both'), Type.Literal('head'), Type.Literal('tail')], {
      default: 'both',
      description: 'Part of over-long output to answer with.',
    }),
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_KEY_CHARS,
        description: 'For a safe repeat: a call with the same key within 24 h runs nothing again.',
      }),
    ),
    max_output: Type.Integer({
      minimum: Math.min(MIN_OUTPUT_BYTES, limits.maxOutputBytes),
      maximum: limits.maxOutputBytes,
      default: limits.maxOutputBytes,
      description: 'Bytes of output to answer with. Saves tokens.',
    }),
  });
}

export type ShellArguments = Static<ReturnType<typeof shellArguments>>;

/** `NAME=value` strings as an object: a form that importers of schemas take where they take no free-form object. */
export function environmentOf(entries: readonly unknown[]): Record<string, string> {
  const env: [string, string][] = entries.map((entry, index) => {
    const at = typeof entry === 'string' ? entry.indexOf('=') : -1;
    if (typeof entry !== 'string' || at < 1) throw new InvalidArguments(`env[${index}] must have the form NAME=value.`);
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(env);
}

/** What a call says of its command's time. */
export interface TimeArguments {
  readonly background: boolean;
  readonly timeout?: number;
  readonly on_timeout?: 'kill' | 'background';
  readonly pty: boolean;
  readonly interactive: boolean;
}

export type TimeLimits = Pick<OperationLimits, 'maxExecSeconds' | 'maxBackgroundSeconds' | 'onTimeout'>;

export interface TimePlan {
  readonly executionSeconds: number;
  /** The answer leaves after this even when the command still runs; the reply window may close earlier. */
  readonly answerSeconds: number;
  /** It may outlive its call, and then the agent: its exit code is kept on disk. */
  readonly outlivesCall: boolean;
}

/** Chooses the limits of a command. Throws `InvalidArguments` for more time than there is, with what to do instead. */
export function planTime(given: TimeArguments, limits: TimeLimits): TimePlan {
  const { maxExecSeconds, maxBackgroundSeconds } = limits;
  if (given.background) return planBackground(given.timeout, maxBackgroundSeconds);
  if ((given.pty || given.interactive) && maxBackgroundSeconds > 0) return planDialogue(given.timeout, limits);
  const seconds = given.timeout ?? maxExecSeconds;
  if (seconds > maxExecSeconds) {
    const advice =
      maxBackgroundSeconds > maxExecSeconds ? ` With background: true it may be up to ${maxBackgroundSeconds}.` : '';
    throw new InvalidArguments(`timeout must be a number up to ${maxExecSeconds}, not ${seconds}.${advice}`);
  }
  const goesOn = (given.on_timeout ?? limits.onTimeout) === 'background' && maxBackgroundSeconds > seconds;
  return {
    executionSeconds: goesOn ? maxBackgroundSeconds : seconds,
    answerSeconds: goesOn ? seconds : Number.POSITIVE_INFINITY,
    outlivesCall: goesOn,
  };
}

/** Somebody types between the answers, and takes longer than a command may: the limit is that of the background. */
function planDialogue(timeout: number | undefined, { maxExecSeconds, maxBackgroundSeconds }: TimeLimits): TimePlan {
  const most = Math.max(maxExecSeconds, maxBackgroundSeconds);
  return { ...planBackground(timeout ?? most, most), answerSeconds: Number.POSITIVE_INFINITY };
}

function planBackground(timeout: number | undefined, maxBackgroundSeconds: number): TimePlan {
  if (maxBackgroundSeconds === 0) throw new BackgroundOff();
  const seconds = timeout ?? maxBackgroundSeconds;
  if (seconds > maxBackgroundSeconds) {
    throw new InvalidArguments(
      `timeout must be a number up to ${maxBackgroundSeconds} in the background, not ${seconds}. Split the work.`,
    );
  }
  return { executionSeconds: seconds, answerSeconds: 0, outlivesCall: true };
}
