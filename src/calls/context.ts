import type { Access } from '../access/access.ts';
import type { Allowances } from '../access/allowances.ts';
import type { Freeze } from '../access/freeze.ts';
import type { MayBePlanned } from '../access/plan.ts';
import { lookProfile, OPERATIONS, type OperationName, type Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import type { Commands } from '../commands/commands.ts';
import type { Proposals } from '../commands/proposals.ts';
import type { Contexts } from '../contexts/contexts.ts';
import { type Clock, type Deadline, OneShotEvent } from '../lib/clock.ts';
import { AccessLapsed, OperationNotAllowed, TooManyRequests } from '../lib/errors.ts';
import { LOOK_SECONDS } from '../lib/limits.ts';
import type { Turns } from '../lib/shares.ts';
import { visibleLine } from '../lib/visible.ts';
import type { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import type { KnownSecrets } from '../secrets/secrets.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { Origin } from '../sessions/via.ts';
import { Masker, WINDOW_GARBAGE_BYTES } from './masking.ts';

/** Limits of operations for their arguments and answers. */
export interface OperationLimits {
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  readonly maxBackgroundSeconds: number;
  /** The limit of a profile for a command that is not in the background; undefined: the same as in the background. */
  readonly foregroundSeconds?: number;
  readonly onTimeout: 'kill' | 'background';
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxRunningPerToken: number;
}

/** One call of an operation, as a door passes it on. */
export interface Call extends Origin, MayBePlanned {
  /** The name of its token: sessions belong to it. */
  readonly principal: string;
  readonly address: string;
  readonly deadline: Deadline;
  /** Fires when the agent stops, the client cancels the call, or the server is frozen: a waiting call answers. */
  readonly shutdown: OneShotEvent;
  /** Fires when the client cancels the call, just before `shutdown`: a command that the call waits for is stopped. */
  readonly cancelled?: OneShotEvent;
  /** Called once when the call begins to wait for a command; `outputBytes` returns how much it has written so far. */
  readonly watch?: (outputBytes: () => number) => void;
  /** Every answer has fewer characters of JSON than this, if the door has room for fewer than the settings allow. */
  readonly maxReplyChars?: number;
  /** Whether it came through a lean door: a flat route or MCP, not `POST /`. */
  readonly isLean?: boolean;
}

/** The operations that the message of an answer advises; JSON has no such field. */
export const ADVISED = Symbol('advised');

/** State of a session that has no field in the answer, and decides which fields the lean doors show. */
export const STATE = Symbol('state');

/** The fields of an answer that the lean doors leave out: the caller knows them. */
export const SPARE = Symbol('spare');

/** The state of a session behind an answer. */
interface SessionState {
  /** Its command or a left-behind process runs, a key may ask for it again, or the message names a call about it. */
  readonly isNeeded: boolean;
  /** The command reached a limit of time, output, memory, processes or CPU. */
  readonly hitLimit: boolean;
  /** Its dialog has done a step, and no answer has described the dialog yet. */
  readonly hasSpoken?: boolean;
}

/** An answer's fields; the door writes them as JSON. */
export type Answer = Readonly<Record<string, unknown>> & {
  readonly [ADVISED]?: readonly OperationName[];
  readonly [STATE]?: SessionState;
  readonly [SPARE]?: readonly string[];
};

/** What every call needs. */
export interface CallDeps {
  readonly access: Access;
  readonly limits: OperationLimits;
  /** The agent's own tokens and secrets, which a profile that masks never shows. */
  readonly secrets: KnownSecrets;
  /** Divides the time of the agent: long work for a client waits for its turn before each piece. */
  readonly turns: Turns;
  readonly trail: Trail;
  readonly freeze: Freeze;
}

/** A call with what its token may do. Built once, and passed to every step of the call. */
export interface CallContext extends Call {
  readonly profile: Profile;
  /** The limits of the agent, reduced by those of the profile. */
  readonly limits: OperationLimits;
  /** Masks the answer; undefined if the profile masks nothing. */
  readonly masker: Masker | undefined;
  readonly maxReplyChars: number;
  readonly deps: CallDeps;
}

/** Builds the context of a call. Throws `AccessLapsed` when the token or its profile is gone. */
export function contextOf(deps: CallDeps, call: Call): CallContext {
  const profile = deps.access.profileFor(call.principal);
  const maxReplyChars = call.maxReplyChars ?? deps.limits.maxReplyChars;
  return { ...call, deps, maxReplyChars, ...profileView(deps, call.principal, profile) };
}

/**
 * Returns the context with the current profile, for a call that has waited. Throws `AccessLapsed` when the token or its
 * profile is gone; `consequence` continues that sentence with what it means for the call.
 */
export function revalidate(context: CallContext, consequence = ''): CallContext {
  const { deps, principal } = context;
  try {
    const named = deps.access.profileFor(principal);
    const profile = context.profile.isLook ? lookProfile(named) : named;
    return profile === context.profile ? context : { ...context, ...profileView(deps, principal, profile) };
  } catch (error) {
    throw error instanceof AccessLapsed && consequence !== '' ? error.with(consequence) : error;
  }
}

/** Returns the same call with the `look` form of its profile: for its commands, and for reading their output. */
export function lookContext(context: CallContext): CallContext {
  return { ...context, ...profileView(context.deps, context.principal, lookProfile(context.profile)) };
}

function profileView({ limits, secrets, turns }: CallDeps, principal: string, profile: Profile) {
  const masker = profile.mask ? new Masker(secrets, () => turns.take(principal, WINDOW_GARBAGE_BYTES)) : undefined;
  return { profile, limits: limitsWithin(limits, profile), masker };
}

function limitsWithin(limits: OperationLimits, { limits: own }: Profile): OperationLimits {
  const { exec_seconds, background_seconds } = own;
  if (exec_seconds === undefined && background_seconds === undefined) return limits;
  const maxBackgroundSeconds = Math.min(limits.maxBackgroundSeconds, background_seconds ?? Number.POSITIVE_INFINITY);
  const longest = longestSeconds({ ...limits, maxBackgroundSeconds });
  return {
    ...limits,
    ...(exec_seconds !== undefined && { foregroundSeconds: Math.min(longest, exec_seconds) }),
    maxExecSeconds: Math.min(limits.maxExecSeconds, exec_seconds ?? Number.POSITIVE_INFINITY),
    maxBackgroundSeconds,
  };
}

/** Returns the longest time that any command may run: that of the background, if it is allowed. */
export function longestSeconds(limits: Pick<OperationLimits, 'maxExecSeconds' | 'maxBackgroundSeconds'>): number {
  const { maxExecSeconds, maxBackgroundSeconds } = limits;
  return maxBackgroundSeconds === 0 ? maxExecSeconds : Math.max(maxExecSeconds, maxBackgroundSeconds);
}

/** Added to an answer whose message advises what the token may not call. */
const FORBIDDEN = ' The profile of this token does not allow ';
const FORBIDDEN_CHARS = FORBIDDEN.length + OPERATIONS.join(', ').length + 1;

/** Added to an answer about a session while the server is frozen. */
const FROZEN_CHARS = '"frozen":true,'.length;

/** Returns the most characters of JSON for an answer, less what `withForbidden` and `withFrozen` may add. */
export function replyChars({ maxReplyChars, profile }: Pick<CallContext, 'maxReplyChars' | 'profile'>): number {
  return maxReplyChars - 1 - FROZEN_CHARS - (profile.operations === undefined ? 0 : FORBIDDEN_CHARS);
}

export interface OperationDeps extends CallDeps {
  /** How this program is started again, for work that needs its own process. */
  readonly ownArgv: readonly string[];
  readonly user: string;
  /** The working directory of a command that names none. */
  readonly home: string;
  /** The agent's own files and directories, which every sandbox hides. */
  readonly ownPaths: readonly string[];
  readonly clock: Clock;
  readonly store: SessionStore;
  readonly contexts: Contexts;
  readonly commands: Commands;
  readonly slots: ConcurrencyLimiter;
  readonly proposals: Proposals;
  readonly allowances: Allowances;
}

interface PolicySubject {
  readonly name: string;
  /** The operation that the profile of the token must allow. */
  readonly needs: string;
  readonly readOnly: boolean;
  /** When its line is written; `by itself`: the operation writes its own lines. */
  readonly recorded: 'before' | 'after' | 'by itself';
  /** It begins and changes nothing, or ends something: allowed while the server is frozen. */
  readonly whileFrozen?: boolean | undefined;
}

/**
 * Runs a call under the policy: its profile allows the operation, the owner has not frozen the server, and the call is
 * on record. A change is recorded before it is made, a read before its answer is sent, and a refusal too. Throws what
 * `run` throws, `AccessLapsed`, `OperationNotAllowed`, `Frozen`, and `MachineRefused` if the call cannot be recorded.
 */
export async function underPolicy<T>(
  deps: CallDeps,
  subject: PolicySubject,
  args: unknown,
  call: Call,
  run: (context: CallContext) => Promise<T>,
): Promise<T> {
  const { trail, freeze } = deps;
  const { name, needs, readOnly, recorded, whileFrozen } = subject;
  let hasBegun = false;
  const interrupted = new OneShotEvent();
  const unsubscribes = [call.shutdown, freeze.begun].map((event) => event.subscribe(() => interrupted.fire()));
  try {
    const context = contextOf(deps, call);
    requireOperation(context.profile, needs);
    if (whileFrozen !== true) freeze.require();
    if (recorded === 'before') trail.operation(name, args, call);
    hasBegun = !readOnly;
    const answer = await run({ ...context, shutdown: interrupted });
    if (recorded === 'after') trail.operation(name, args, call);
    return answer;
  } catch (thrown) {
    const error = isUnexplained(thrown) ? thrown.with(consequenceOf(name, hasBegun)) : thrown;
    trail.refused(name, args, call, error);
    throw error;
  } finally {
    for (const unsubscribe of unsubscribes) unsubscribe();
  }
}

/** Throws `OperationNotAllowed` for an operation that a profile does not allow. */
export function requireOperation({ name, operations }: Profile, operation: string): void {
  if (operations === undefined || operations.includes(operation)) return;
  throw new OperationNotAllowed(
    `The profile ${name} of this token does not allow ${operation}; it allows ${operations.join(', ') || 'nothing'}.`,
  );
}

function isUnexplained(error: unknown): error is AccessLapsed {
  return error instanceof AccessLapsed && error.consequence === '';
}

function consequenceOf(operation: string, hasBegun: boolean): string {
  return hasBegun ? `: what ${operation} had begun was not undone` : ', so nothing was done';
}

/** Returns an answer whose message names the advised operations that the token may not use. */
export function withForbidden(answer: Answer, { operations }: Profile): Answer {
  const { [ADVISED]: advised = [], [STATE]: state, ...fields } = answer;
  const forbidden = OPERATIONS.filter((name) => advised.includes(name) && operations?.includes(name) === false);
  return {
    ...fields,
    ...(forbidden.length > 0 && { message: `${fields['message']}${FORBIDDEN}${forbidden.join(', ')}.` }),
    // The next call needs the session, unless it is a new command.
    ...(state && { [STATE]: { ...state, isNeeded: state.isNeeded || advised.some((one) => one !== 'shell') } }),
  };
}

/** How long a command waits for a slot when all are in use. */
const QUEUE_SECONDS = 5;

/** Returns until when a call that begins to wait now waits for a slot. */
export const slotDeadline = ({ deadline }: CallContext) => deadline.before(LOOK_SECONDS).orAfter(QUEUE_SECONDS);

/** Waits for a slot for a command. Returns the function that releases it. Throws `TooManyRequests`. */
export async function waitForSlot(deps: OperationDeps, context: CallContext, by = slotDeadline(context)) {
  const { principal, limits, profile, shutdown } = context;
  const most = Math.min(limits.maxRunningPerToken, profile.limits.running ?? Number.POSITIVE_INFINITY);
  try {
    const wait = (assigned: OneShotEvent) => by.waitFor(assigned, shutdown).then(() => assigned.fired);
    const release = await deps.slots.acquire(principal, most, wait);
    // The kernel holds the agent up until a process has begun.
    await deps.turns.take(principal);
    return release;
  } catch (error) {
    deps.freeze.require('Nothing was run.');
    throw error instanceof TooManyRequests ? error.with(await silentest(deps, context)) : error;
  }
}

/** Names three of the caller's commands that have been silent for longest: forgotten ones hold slots for an hour. */
async function silentest({ store, clock }: OperationDeps, { principal, masker }: CallContext): Promise<string> {
  const now = clock.now();
  const silent = [...store.all()]
    .filter(({ record }) => record.principal === principal && record.status === 'running')
    .map((session) => ({ session, ms: session.silentMs(now) }))
    .sort((a, b) => b.ms - a.ms)
    .slice(0, 3)
    .map(({ session, ms }) => `${session.id} (${Math.floor(ms / 1000)} s: ${beginningOf(session.record.cmd)})`);
  if (silent.length === 0) return '';
  const text = ` Silent for the longest time: ${silent.join(', ')}.`;
  return (await masker?.mask(text)) ?? text;
}

function beginningOf(cmd: string): string {
  const line = visibleLine(cmd.slice(0, 60)).slice(0, 60);
  return line.length < cmd.length ? `${line.toWellFormed()}…` : line;
}
