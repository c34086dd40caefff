import { accessSync, constants, statSync } from 'node:fs';
import { type Static, Type } from '@sinclair/typebox';
import type { Clock } from '../core/clock.ts';
import { describeErrno, InvalidArguments, MissingCommand, SessionNotFound } from '../core/errors.ts';
import {
  MAX_ARGUMENT_BYTES,
  MAX_COMMAND_CHARS,
  MAX_ENVIRONMENT_VARIABLES,
  MAX_KEY_CHARS,
  MIN_OUTPUT_BYTES,
  MIN_TIMEOUT_SECONDS,
} from '../core/limits.ts';
import { SESSION_MARK } from '../execution/environment.ts';
import type { Session } from '../sessions/session.ts';
import {
  envelopeChars,
  finalSnapshot,
  messageOf,
  OMITTED_CHARS,
  omittedField,
  outputFields,
  snapshot,
} from './answer.ts';
import { unknownNames } from './arguments.ts';
import { binaryHint, cutHint, fullDiskHint, reopenHint, statusHint, survivorsHint } from './hints.ts';
import { type Answer, type Call, defineOperation, type Operation } from './operation.ts';
import type { OperationParts } from './parts.ts';
import { fitStreams } from './reply.ts';
import { planTime, type TimePlan } from './time-plan.ts';

/** `shell`: runs one command, waits for it within the reply window, and answers with its output. */
export function shellOperation(parts: OperationParts): Operation {
  const { limits, commands, store } = parts;
  const args = argsSchema(parts);
  const home = new DefaultDirectory(parts.home, parts.clock);
  return defineOperation({
    name: 'shell',
    summary: 'Run one shell command',
    description: `Runs one command with ${limits.shell} -c on the server and answers with its output and exit code. The session in the answer holds the whole output; read_session reads on where an answer was cut or the command still runs.`,
    args,
    result: Type.Object({ ...outputFields, omitted: Type.Optional(omittedField) }),
    destructive: false,
    readOnly: false,
    normalize: (args) => (Array.isArray(args['env']) ? { ...args, env: environmentOf(args['env']) } : args),
    documented: {
      env: Type.Array(Type.String(), {
        description: 'Environment variables added to the clean base environment, each as NAME=value.',
      }),
    },
    precheck: ({ cmd }) => {
      if (cmd === undefined || cmd === null || cmd === '') {
        throw new MissingCommand(
          'Send the command to run as args.cmd, a string: {"op":"shell","args":{"cmd":"uptime"}}.',
        );
      }
    },
    run: async (given, call, ignored) => {
      const earlier = given.key === undefined ? undefined : store.byKey(call.principal, given.key);
      const time = planTime(given, limits);
      const session = earlier ?? startSession(given, call, time);
      await waitForEnd(parts, session, call, time.answerSeconds);
      const notes = [
        earlier && repeatHint(earlier, given.cmd),
        reopenHint(given.cmd),
        fullDiskHint(mayLackOutput(session) && store.isDiskFull()),
        ignored.length > 0 ? unknownNames(ignored) : undefined,
      ];
      return answer(parts, session, given, notes, earlier === undefined);
    },
  });

  function startSession(given: ShellArguments, call: Call, time: TimePlan): Session {
    checkText('cmd', given.cmd);
    if (given.cwd !== undefined) checkDirectory(given.cwd);
    const cwd = given.cwd ?? home.now();
    checkEnvironment(given.env);
    if (!given.stdin.isWellFormed()) throw new InvalidArguments(loneSurrogate('stdin'));
    return commands.start({
      principal: call.principal,
      cmd: given.cmd,
      cwd,
      env: given.env,
      stdin: given.stdin,
      key: given.key ?? null,
      execution_seconds: time.executionSeconds,
      keepsExitCode: time.outlivesCall,
    });
  }
}

function argsSchema({ limits }: OperationParts) {
  return Type.Object({
    cmd: Type.String({ minLength: 1, maxLength: MAX_COMMAND_CHARS, description: 'The command.' }),
    cwd: Type.Optional(
      Type.String({
        pattern: '^/',
        description: 'Working directory, an absolute path. Default: the home of the service user.',
      }),
    ),
    env: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Environment variables added to the clean base environment.',
    }),
    stdin: Type.String({
      default: '',
      description: 'Written to standard input, then closed. Writes files without quoting.',
    }),
    timeout: Type.Optional(
      Type.Number({
        minimum: MIN_TIMEOUT_SECONDS,
        description: `Execution limit of this command in seconds: up to ${limits.maxExecSeconds}, the default, or in the background up to ${limits.maxBackgroundSeconds}.`,
      }),
    ),
    background: Type.Boolean({
      default: false,
      description: 'Answers at once while the command goes on; follow it with read_session and wait. For long work.',
    }),
    on_timeout: Type.Optional(
      Type.Union([Type.Literal('kill'), Type.Literal('background')], {
        description: `What happens at timeout: the command is stopped, or goes on in the background. Default: ${limits.onTimeout}.`,
      }),
    ),
    keep: Type.Union([Type.Literal('both'), Type.Literal('head'), Type.Literal('tail')], {
      default: 'both',
      description: 'Which part of an over-long stream comes inline: both ends, its head or its tail.',
    }),
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_KEY_CHARS,
        description: 'Makes a repeat safe: the same key within 24 h runs nothing again and answers for the first call.',
      }),
    ),
    max_output: Type.Integer({
      minimum: Math.min(MIN_OUTPUT_BYTES, limits.maxOutputBytes),
      maximum: limits.maxOutputBytes,
      default: limits.maxOutputBytes,
      description: 'Most bytes of output in this answer, both streams together.',
    }),
  });
}

type ShellArguments = Static<ReturnType<typeof argsSchema>>;

/** A command that wrote nothing and was content has lost nothing. */
function mayLackOutput({ record }: Session): boolean {
  return record.exit_code !== 0 || record.stdout_bytes + record.stderr_bytes > 0;
}

async function waitForEnd(parts: OperationParts, session: Session, call: Call, seconds: number): Promise<void> {
  if (session.record.closed) {
    throw new SessionNotFound(
      'The call with this key has run already and its session was closed; nothing was run again. Use another key to run it anew.',
    );
  }
  const end = parts.commands.endOf(session);
  if (end !== undefined && seconds > 0) await call.deadline.orAfter(seconds).waitFor(end, call.shutdown);
}

function answer(
  parts: OperationParts,
  session: Session,
  given: ShellArguments,
  notes: readonly (string | undefined)[],
  justEnded: boolean,
): Answer {
  const { streams, fields } = justEnded ? finalSnapshot(session, parts.clock) : snapshot(session, parts.clock);
  const build = (text: { stdout: string; stderr: string }, more: Answer, hints: readonly (string | undefined)[]) => ({
    ...text,
    ...fields,
    truncated: more['omitted'] !== undefined,
    ...more,
    ...messageOf(statusHint(session.record, parts.limits), survivorsHint(session.record.survivors), ...notes, ...hints),
  });
  const plain = build({ stdout: '', stderr: '' }, {}, []);
  const reserve = envelopeChars(plain) + OMITTED_CHARS + HINT_CHARS;
  const budget = { bytes: given.max_output, chars: parts.limits.maxReplyChars - 1 - reserve };
  const fitted = fitStreams(streams.stdout, streams.stderr, budget, given.keep);
  const text = { stdout: fitted.stdout.text, stderr: fitted.stderr.text };
  const omitted = omittedOf(fitted.stdout.omitted, fitted.stderr.omitted);
  return build(text, omitted === undefined ? {} : { omitted }, [
    cutHint(fitted, session.id),
    binaryHint(text.stdout, text.stderr),
  ]);
}

/** Characters kept for the hints that depend on the output: two calls and the one on binary output, escaped. */
const HINT_CHARS = 700;

function omittedOf<T>(stdout: T | undefined, stderr: T | undefined): { stdout?: T; stderr?: T } | undefined {
  if (stdout === undefined && stderr === undefined) return undefined;
  return { ...(stdout !== undefined && { stdout }), ...(stderr !== undefined && { stderr }) };
}

function repeatHint(earlier: Session, cmd: string): string {
  const other = earlier.record.cmd === cmd ? '' : ' That call had another command: use a new key for a new command.';
  return `This key was used before, so nothing was run again; this is the session of the first call.${other}`;
}

function loneSurrogate(name: string): string {
  return `${name} has a lone surrogate (half of a UTF-16 pair), which is no text. Send well-formed Unicode.`;
}

/** A NUL ends a C string, and a lone surrogate cannot be written as UTF-8: both would change the text in silence. */
function checkText(name: string, text: string): void {
  if (text.includes('\0')) throw new InvalidArguments(`${name} must not contain a NUL character.`);
  if (!text.isWellFormed()) throw new InvalidArguments(loneSurrogate(name));
}

/** A home that was there within this time is taken to be there still: a look for each command costs a fiftieth of it. */
const HOME_LOOK_MS = 1000;

/** The home of the service's user, or `/` where it has none: Debian's system users live in `/nonexistent`. */
class DefaultDirectory {
  #directory = '/';
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly home: string,
    private readonly clock: Clock,
  ) {}

  now(): string {
    const now = this.clock.elapsed();
    if (now - this.#lookedMs < HOME_LOOK_MS) return this.#directory;
    this.#lookedMs = now;
    this.#directory = directoryFault(this.home) === undefined ? this.home : '/';
    return this.#directory;
  }
}

function checkDirectory(cwd: string): void {
  checkText('cwd', cwd);
  const fault = directoryFault(cwd);
  if (fault === undefined) return;
  throw new InvalidArguments(`cwd ${JSON.stringify(cwd.slice(0, 200))} cannot be used: ${fault}. Nothing was run.`);
}

/** Why a command cannot run in `cwd`; undefined when it can. */
function directoryFault(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return 'it is not a directory';
    accessSync(cwd, constants.X_OK);
    return undefined;
  } catch (error) {
    return describeErrno(error);
  }
}

/** `NAME=value` strings as an object: a form that importers of schemas take where they take no free-form object. */
function environmentOf(entries: readonly unknown[]): Record<string, string> {
  const env: [string, string][] = entries.map((entry, index) => {
    const at = typeof entry === 'string' ? entry.indexOf('=') : -1;
    if (typeof entry !== 'string' || at < 1) throw new InvalidArguments(`env[${index}] must have the form NAME=value.`);
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(env);
}

function checkEnvironment(env: Readonly<Record<string, string>>): void {
  const entries = Object.entries(env);
  if (entries.length > MAX_ENVIRONMENT_VARIABLES) {
    throw new InvalidArguments(`env may have at most ${MAX_ENVIRONMENT_VARIABLES} variables, not ${entries.length}.`);
  }
  for (const [name, value] of entries) {
    const shown = `env.${name.slice(0, 60)}`;
    if (name === '' || name.includes('=')) {
      throw new InvalidArguments(
        `env has the name ${JSON.stringify(name.slice(0, 60))}: a name is not empty and has no "=".`,
      );
    }
    if (name === SESSION_MARK) throw new InvalidArguments(`${shown} is set by Agent3 itself; leave it out.`);
    checkText(shown, name);
    checkText(shown, value);
    if (Buffer.byteLength(name) + Buffer.byteLength(value) + 1 > MAX_ARGUMENT_BYTES) {
      throw new InvalidArguments(
        `${shown} is longer than the ${MAX_ARGUMENT_BYTES} bytes that Linux allows; send it in stdin.`,
      );
    }
  }
}
