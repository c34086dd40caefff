import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { type CallContext, type OperationDeps, revalidate } from '../calls/context.ts';
import type { NewCommand } from '../commands/command.ts';
import type { DialogStep } from '../commands/dialog.ts';
import { hiddenChange, type Isolation, isolationOf, requireLimits, requireSandbox } from '../commands/isolation.ts';
import { withBus } from '../commands/look.ts';
import type { HeldContext } from '../contexts/held-context.ts';
import type { Clock } from '../lib/clock.ts';
import { describeErrno, InvalidArguments, MissingCommand } from '../lib/errors.ts';
import { LOOK_SECONDS, MAX_ARGUMENT_BYTES, MAX_ENVIRONMENT_VARIABLES, MAX_PATH_BYTES } from '../lib/limits.ts';
import { parsePattern } from '../lib/pattern.ts';
import { SESSION_MARK } from '../process/environment.ts';
import { isSeenAlike } from '../sandbox/sandbox.ts';
import type { ShellArguments, TimePlan } from './shell-arguments.ts';

/** Continues the sentence about a token that ended before its command was started. */
export const NOTHING_RUN = ', so nothing was run';

/** Turns the arguments of `shell` into a command that can be decided on. */
export class CommandChecks {
  readonly #home: DefaultDirectory;

  constructor(private readonly deps: OperationDeps) {
    this.#home = new DefaultDirectory(deps.home, deps.clock);
  }

  /**
   * Throws `InvalidArguments` for what no command can have, `ProfileUnavailable` if the isolation cannot be made here.
   */
  async check(given: ShellArguments, context: CallContext, time: TimePlan): Promise<NewCommand> {
    requireText('cmd', given.cmd);
    const isolation = this.#isolation(context);
    const held = await this.#enter(given, context, isolation);
    try {
      return { ...(await this.#command(given, context, time, isolation, held)), ...(held !== undefined && { held }) };
    } catch (error) {
      held?.release();
      throw error;
    }
  }

  async #command(
    given: ShellArguments,
    context: CallContext,
    time: TimePlan,
    isolation: Isolation | undefined,
    held: HeldContext | undefined,
  ): Promise<NewCommand> {
    const { principal, address, via, plan, profile } = context;
    const { cmd, env, stdin } = given;
    const cwd = this.#directory(given, held, context, isolation);
    if (isolation !== undefined) await this.#requireIsolation(context, isolation);
    requireEnvironment(env);
    if (!stdin.isWellFormed()) throw new InvalidArguments(loneSurrogate('stdin'));
    const dialog = dialogSteps(given);
    return {
      ...{ principal, address, cmd, cwd, env, stdin },
      input: given.pty ? 'terminal' : given.interactive ? 'pipe' : 'closed',
      size: { rows: given.rows, cols: given.cols },
      key: given.key ?? null,
      execution_seconds: time.executionSeconds,
      keepsExitCode: time.outlivesCall,
      revalidate: () => void revalidate(context, NOTHING_RUN),
      ...(isolation !== undefined && { isolation: await withBus(isolation, this.deps.clock) }),
      ...(profile.isLook && { look: true }),
      ...(dialog !== undefined && { dialog }),
      profile: profile.name,
      ...(via !== undefined && { via }),
      ...(plan !== undefined && { plan }),
    };
  }

  /** Returns whether, from now on, the sandbox of a call hides something else. */
  hiddenChange(context: CallContext): () => boolean {
    return hiddenChange(this.#isolation(context)?.sandbox);
  }

  #isolation({ profile }: CallContext): Isolation | undefined {
    return profile.isPlain ? undefined : isolationOf(profile, this.deps.ownPaths);
  }

  /** What the agent may enter says nothing about another user, and what a sandbox hides must not show here. */
  #directory(
    given: ShellArguments,
    held: HeldContext | undefined,
    { profile }: CallContext,
    isolation: Isolation | undefined,
  ): string {
    const cwd = given.cwd ?? held?.cwd;
    if (cwd !== undefined && !isJudgedBefore(isolation, cwd)) requirePath(cwd);
    else if (cwd !== undefined) requireDirectory(cwd, given.cwd === undefined ? given.context : undefined);
    return cwd ?? profile.sandbox?.directory ?? homeOf(isolation) ?? this.#home.now();
  }

  /** Enters the context that a call names, once no other command uses it. */
  async #enter(
    { context: name, env, cwd }: ShellArguments,
    { principal, deadline, shutdown }: CallContext,
    isolation: Isolation | undefined,
  ): Promise<HeldContext | undefined> {
    if (name === undefined) return undefined;
    const { contexts, limits } = this.deps;
    if (basename(limits.shell) !== 'bash')
      throw new InvalidArguments(
        `context needs bash, and the shell of this server is ${limits.shell}. Send the call without context.`,
      );
    const owner = { principal, name, walls: isolationDigest(isolation) };
    const call = { given: new Set(Object.keys(env)), hasDirectory: cwd !== undefined };
    return await contexts.enter(owner, call, deadline.before(LOOK_SECONDS), shutdown);
  }

  async #requireIsolation({ profile }: CallContext, isolation: Isolation): Promise<void> {
    const { clock, access, commands } = this.deps;
    if (isolation.sandbox !== undefined) await requireSandbox(profile, isolation.sandbox, access, clock);
    requireLimits(isolation, commands.enforcesLimits);
  }
}

/** Throws `MissingCommand` without a command to run. */
export function requireCommand({ cmd }: Readonly<Record<string, unknown>>, isLean: boolean): void {
  if (cmd !== undefined && cmd !== null && cmd !== '') return;
  const example = isLean ? '' : '; with POST / that is {"op":"shell","args":{"cmd":"uptime"}}';
  throw new MissingCommand(`Send the command to run as cmd, a string such as "uptime"${example}.`);
}

/** Parses the steps of a dialog. Throws `InvalidArguments` for an invalid pattern, and if nothing can be typed. */
function dialogSteps({ dialog, pty, interactive }: ShellArguments): DialogStep[] | undefined {
  if (dialog === undefined) return undefined;
  if (!pty && !interactive)
    throw new InvalidArguments('dialog needs pty: true for a terminal, or interactive: true for an open input.');
  return dialog.map(({ expect, send }, index) => {
    if (!send.isWellFormed()) throw new InvalidArguments(loneSurrogate(`dialog[${index}].send`));
    const { pattern, flags } = parsePattern(expect, `dialog[${index}].expect`);
    // As in a search, ^ and $ match at line ends.
    return { expect, pattern, flags: `${flags}m`, send };
  });
}

/** What a context is bound to: its user and its sandbox. */
function isolationDigest(isolation: Isolation | undefined): string {
  if (isolation?.sandbox === undefined && isolation?.account === undefined) return '';
  return Bun.SHA256.hash(JSON.stringify([isolation.account?.name, isolation.sandbox]), 'hex').slice(0, 32);
}

/** Whether faults of a directory are known before the command is run there. */
function isJudgedBefore(isolation: Isolation | undefined, cwd: string): boolean {
  if (isolation === undefined) return true;
  const { sandbox, account } = isolation;
  return sandbox === undefined ? account === undefined : isSeenAlike(sandbox, cwd);
}

/** Returns the home of the user that a profile names; `/` if that directory does not exist. */
function homeOf(isolation: Isolation | undefined): string | undefined {
  const home = isolation?.account?.home;
  return home !== undefined && !existsSync(home) ? '/' : home;
}

/** Describes a text that has half of a surrogate pair. */
function loneSurrogate(name: string): string {
  return `${name} has a lone surrogate (half of a UTF-16 pair), which is not text. Send well-formed Unicode.`;
}

/** A NUL ends a C string, and a lone surrogate cannot be written as UTF-8: both would silently change the text. */
function requireText(name: string, text: string): void {
  if (text.includes('\0')) throw new InvalidArguments(`${name} must not contain a NUL character.`);
  if (!text.isWellFormed()) throw new InvalidArguments(loneSurrogate(name));
}

/** A home that existed within this time is taken to exist: a look for each command takes a fiftieth of its time. */
const HOME_LOOK_MS = 1000;

/** The home of the service's user, or `/` without one: Debian's system users live in `/nonexistent`. */
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

/** Throws `InvalidArguments` for an invalid path. Whether a command can run there is known at its start. */
function requirePath(cwd: string): void {
  requireText('cwd', cwd);
  if (Buffer.byteLength(cwd) <= MAX_PATH_BYTES) return;
  throw new InvalidArguments(`cwd is longer than a path may be on Linux (${MAX_PATH_BYTES} bytes). Nothing was run.`);
}

/** Throws `InvalidArguments` for a directory in which no command can run. */
function requireDirectory(cwd: string, context: string | undefined): void {
  requirePath(cwd);
  const fault = directoryFault(cwd);
  if (fault === undefined) return;
  const cure = context === undefined ? '' : ` The context ${context} was left there: give another cwd.`;
  throw new InvalidArguments(
    `cwd ${JSON.stringify(cwd.slice(0, 200))} cannot be used: ${fault}. Nothing was run.${cure}`,
  );
}

/** Returns why a command cannot run in `cwd`; undefined if it can. */
function directoryFault(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return 'it is not a directory';
    accessSync(cwd, constants.X_OK);
    return undefined;
  } catch (error) {
    return describeErrno(error);
  }
}

/** Throws `InvalidArguments` for variables that the system would refuse, or that are Agent3's own. */
function requireEnvironment(env: Readonly<Record<string, string>>): void {
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
    requireText(shown, name);
    requireText(shown, value);
    if (Buffer.byteLength(name) + Buffer.byteLength(value) + 1 > MAX_ARGUMENT_BYTES) {
      throw new InvalidArguments(
        `${shown} is longer than the ${MAX_ARGUMENT_BYTES} bytes that Linux allows; send it in stdin.`,
      );
    }
  }
}
