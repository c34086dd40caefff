import { type Static, Type } from '@sinclair/typebox';
import { longestSeconds, type OperationLimits } from '../calls/context.ts';
import { BackgroundOff, InvalidArguments } from '../lib/errors.ts';
import {
  CONTEXT_NAME,
  MAX_COMMAND_CHARS,
  MAX_DIALOG_STEPS,
  MAX_KEY_CHARS,
  MAX_PATTERN_CHARS,
  MAX_SEND_CHARS,
  MIN_OUTPUT_BYTES,
  MIN_TIMEOUT_SECONDS,
} from '../lib/limits.ts';
import { SELDOM } from './operation.ts';

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
        description: 'Absolute. Instead of cd.',
      }),
    ),
    env: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Variables of the command.',
    }),
    context: Type.Optional(
      Type.String({
        pattern: CONTEXT_NAME,
        description: 'A name: keeps directory, variables and functions for the next call with it.',
      }),
    ),
    dialog: Type.Optional(
      Type.Array(
        Type.Object({
          expect: Type.String({
            minLength: 1,
            maxLength: MAX_PATTERN_CHARS,
            description: 'Regular expression.',
          }),
          send: Type.String({ maxLength: MAX_SEND_CHARS, description: 'With its newline.' }),
        }),
        {
          minItems: 1,
          maxItems: MAX_DIALOG_STEPS,
          description: 'With pty or interactive: waits for each expect, then types its send.',
        },
      ),
    ),
    stdin: Type.String({
      default: '',
      description: 'Standard input.',
    }),
    interactive: Type.Boolean({
      default: false,
      description: 'Answers when the command asks something; reply with write_session.',
    }),
    pty: Type.Boolean({
      default: false,
      description: 'The same in a terminal: for sudo, passwd, ssh, installers.',
    }),
    rows: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 24,
      description: 'Lines of the terminal, with pty.',
      ...SELDOM,
    }),
    cols: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 120,
      description: 'Columns of the terminal, with pty.',
      ...SELDOM,
    }),
    plain: Type.Optional(Type.Boolean({ description: 'No escape sequences. Default: true with pty.' })),
    timeout: Type.Optional(
      Type.Number({
        minimum: MIN_TIMEOUT_SECONDS,
        description: `Stops the command after so many seconds, up to ${longestSeconds(limits)}.`,
      }),
    ),
    background: Type.Boolean({
      default: false,
      description: 'Answers at once; the command continues.',
    }),
    on_timeout: Type.Optional(
      Type.Union([Type.Literal('kill'), Type.Literal('background')], {
        description: 'background: it continues after timeout.',
      }),
    ),
    notify: Type.Optional(Type.Boolean({ description: 'Tells the owner when it ends after this answer.' })),
    keep: Type.Union([Type.Literal('both'), Type.Literal('head'), Type.Literal('tail')], {
      default: 'both',
      description: 'Part of too long output to show.',
    }),
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_KEY_CHARS,
        description: 'A repeat with the same key runs nothing again.',
      }),
    ),
    max_output: Type.Integer({
      minimum: Math.min(MIN_OUTPUT_BYTES, limits.maxOutputBytes),
      maximum: limits.maxOutputBytes,
      default: limits.maxOutputBytes,
      description: 'Bytes of output to show, from 256.',
    }),
  });
}

export type ShellArguments = Static<ReturnType<typeof shellArguments>>;

/** Converts `NAME=value` strings to an object: some importers of schemas do not accept a free-form object. */
export function environmentOf(entries: readonly unknown[]): Record<string, string> {
  const env: [string, string][] = entries.map((entry, index) => {
    const at = typeof entry === 'string' ? entry.indexOf('=') : -1;
    if (typeof entry !== 'string' || at < 1) throw new InvalidArguments(`env[${index}] must have the form NAME=value.`);
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(env);
}

/**
 * Parses the steps of a dialog; a number to type becomes text. Throws `InvalidArguments`, which shows nothing of them:
 * what is typed may be a password.
 */
export function dialogOf(steps: unknown): { readonly expect: string; readonly send: string }[] {
  if (!Array.isArray(steps)) throw new InvalidArguments('dialog must be a list of {"expect": "…", "send": "…"}.');
  if (steps.length < 1 || steps.length > MAX_DIALOG_STEPS)
    throw new InvalidArguments(`dialog must have 1 to ${MAX_DIALOG_STEPS} steps, not ${steps.length}.`);
  return steps.map((step: unknown, index) => {
    const { expect, send } = (typeof step === 'object' && step !== null ? step : {}) as Record<string, unknown>;
    const text = typeof send === 'number' ? String(send) : send;
    if (typeof expect === 'string' && typeof text === 'string' && text.length <= MAX_SEND_CHARS)
      return { expect, send: text };
    throw new InvalidArguments(
      `dialog[${index}] must have expect, a regular expression, and send, a text of up to ${MAX_SEND_CHARS} characters.`,
    );
  });
}

/** The arguments of a call about its command's time. */
export interface TimeArguments {
  readonly background: boolean;
  readonly timeout?: number;
  readonly on_timeout?: 'kill' | 'background';
  readonly pty: boolean;
  readonly interactive: boolean;
}

export type TimeLimits = Pick<
  OperationLimits,
  'maxExecSeconds' | 'maxBackgroundSeconds' | 'foregroundSeconds' | 'onTimeout' | 'replySeconds'
>;

export interface TimePlan {
  readonly executionSeconds: number;
  /** The answer is sent after this even if the command still runs; the reply window may close earlier. */
  readonly answerSeconds: number;
  /** Whether it is meant to outlive its call, and so the agent: its exit code is kept on disk. */
  readonly outlivesCall: boolean;
}

/**
 * Chooses the limits of a command. Without `timeout`, `POST /` stops the command at the limit of the original, and the
 * lean doors let it run. Throws `InvalidArguments` for more time than allowed, with what to do instead.
 */
export function planTime(given: TimeArguments, limits: TimeLimits, isLean: boolean): TimePlan {
  const { maxExecSeconds, maxBackgroundSeconds, foregroundSeconds, replySeconds } = limits;
  const longest = longestSeconds(limits);
  if (given.background && maxBackgroundSeconds === 0) throw new BackgroundOff();
  const isDialogue = (given.pty || given.interactive) && maxBackgroundSeconds > 0;
  // Somebody types between the answers, and takes longer than a command may.
  const most = given.background ? maxBackgroundSeconds : isDialogue ? longest : (foregroundSeconds ?? longest);
  const { timeout } = given;
  if (timeout !== undefined && timeout > most) throw tooMuchTime(timeout, most, given.background, maxBackgroundSeconds);
  const isFree = given.background || isDialogue || isLean;
  const executionSeconds = timeout ?? (isFree ? most : maxExecSeconds);
  // The rule of the server only applies to commands of `POST /` without `timeout`.
  const atLimit = given.on_timeout ?? (timeout === undefined && !isLean ? limits.onTimeout : 'kill');
  const goesOn = !isDialogue && atLimit === 'background' && maxBackgroundSeconds > executionSeconds;
  if (goesOn && !given.background)
    return { executionSeconds: maxBackgroundSeconds, answerSeconds: executionSeconds, outlivesCall: true };
  return {
    executionSeconds,
    answerSeconds: given.background ? 0 : Number.POSITIVE_INFINITY,
    // Keeping an exit code takes another process for each command: only for commands that were meant to be long.
    outlivesCall: given.background || isDialogue || (timeout ?? 0) > Math.max(maxExecSeconds, replySeconds),
  };
}

function tooMuchTime(
  timeout: number,
  most: number,
  isBackground: boolean,
  maxBackgroundSeconds: number,
): InvalidArguments {
  const advice =
    maxBackgroundSeconds > most && !isBackground
      ? `With background: true it may be up to ${maxBackgroundSeconds}.`
      : `Send at most ${most}, or split the work into shorter commands.`;
  const where = isBackground ? ' in the background' : '';
  return new InvalidArguments(`timeout must be a number up to ${most}${where}, not ${timeout}. ${advice}`);
}
