import type { Access } from '../access/access.ts';
import type { Allowances } from '../access/allowances.ts';
import type { Freeze } from '../access/freeze.ts';
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

/** The limits that operations hold their answers and arguments to. */
export interface OperationLimits {
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  readonly maxBackgroundSeconds: number;
  /** What a profile allows a command that is not in the background; undefined: as much as one that is. */
  readonly foregroundSeconds?: number;
  readonly onTimeout: 'kill' | 'background';
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxRunningPerToken: number;
}

/** One call of an operation, as a door hands it over. */
export interface Call extends Origin {
  /** The name of the token it came with: sessions belong to it. */
  readonly principal: string;
  readonly address: string;
  readonly deadline: Deadline;
  /** Fires when the agent stops, the client takes the call back, or the owner freezes the server: who waits answers. */
  readonly shutdown: OneShotEvent;
  /** Fires when the client takes the call back, just before `shutdown`: a command that the call waits for is stopped. */
  readonly cancelled?: OneShotEvent;
  /** Called once when the call begins to wait for a command; `outputBytes` returns what that has written so far. */
  readonly watch?: (outputBytes: () => number) => void;
  /** Every answer has fewer characters of JSON than this, where the door has room for fewer than the settings allow. */
  readonly maxReplyChars?: number;
  /** Whether it came through a lean door: a flat route or MCP, not `POST /`. */
  readonly isLean?: boolean;
}

/** The operations that the message of an answer advises; JSON has no such field. */
export const ADVISED = Symbol('advised');

/** What of an answer about a session has no field, and decides which fields the lean doors show. */
export const STATE = Symbol('state');

/** The fields of an answer that the lean doors leave out: they say what the caller knows. */
export const SPARE = Symbol('spare');

/** The state of a session behind an answer. */
interface SessionState {
  /** Its command or a process of it runs, a key may ask for it again, or the message names a call about it. */
  readonly isNeeded: boolean;
  /** The command reached a limit of time, output, memory, processes or CPU. */
  readonly hitLimit: boolean;
  /** Its dialog has done a step, and no answer has said yet how the dialog went. */
  readonly hasSpoken?: boolean;
}

/** An answer's fields; the door writes them as JSON. */
export type Answer = Readonly<Record<string, unknown>> & {
  readonly [ADVISED]?: readonly OperationName[];
  readonly [STATE]?: SessionState;
  readonly [SPARE]?: readonly string[];
};

/** What every call works with. */
export interface CallDeps {
  readonly access: Access;
  readonly limits: OperationLimits;
  /** The agent's own tokens and secrets, which no answer of a profile that masks shows. */
  readonly secrets: KnownSecrets;
  /** What the work that a client makes long waits for, piece by piece. */
  readonly turns: Turns;
  readonly trail: Trail;
  readonly freeze: Freeze;
}

/** A call with what its token may do. Built once, and passed to every step of the call. */
export interface CallContext extends Call {
  readonly profile: Profile;
  /** Those of the agent, within those of the profile. */
  readonly limits: OperationLimits;
  /** Masks the answer; undefined where the profile wants no masks. */
  readonly masker: Masker | undefined;
  readonly maxReplyChars: number;
  readonly deps: CallDeps;
}

/** The context of a call. Throws `AccessLapsed` when the token or its profile is gone. */
export function contextOf(deps: CallDeps, call: Call): CallContext {
  const profile = deps.access.profileFor(call.principal);
  const maxReplyChars = call.maxReplyChars ?? deps.limits.maxReplyChars;
  return { ...call, deps, maxReplyChars, ...profileView(deps, call.principal, profile) };
}

/**
 * The context with the profile as it is now, for a call that has waited. Throws `AccessLapsed` when the token or its
 * profile is gone by now; `consequence` continues its sentence: what that means for the call.
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

/** The same call under what `look` makes of its profile: for its commands, and for who reads their output. */
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

/** The longest that any command may run: that of the background, where there is one. */
export function longestSeconds(limits: Pick<OperationLimits, 'maxExecSeconds' | 'maxBackgroundSeconds'>): number {
  const { maxExecSeconds, maxBackgroundSeconds } = limits;
  return maxBackgroundSeconds === 0 ? maxExecSeconds : Math.max(maxExecSeconds, maxBackgroundSeconds);
}

/** What an answer adds where its message advises what the token may not call. */
const FORBIDDEN = ' The profile of this token does not allow ';
const FORBIDDEN_CHARS = FORBIDDEN.length + OPERATIONS.join(', ').length + 1;

/** What an answer about a session adds while the server is frozen. */
const FROZEN_CHARS = '"frozen":true,'.length;

/** Most characters of JSON that the answer of a call may have, with room for what `withForbidden` and `withFrozen` add. */
export function replyChars({ maxReplyChars, profile }: Pick<CallContext, 'maxReplyChars' | 'profile'>): number {
  return maxReplyChars - 1 - FROZEN_CHARS - (profile.operations === undefined ? 0 : FORBIDDEN_CHARS);
}

export interface OperationDeps extends CallDeps {
  /** How this program is started again, for work that needs a process of its own. */
  readonly ownArgv: readonly string[];
  readonly user: string;
  /** The working directory of a command that names none. */
  readonly home: string;
  /** The agent's own files and directories, which no sandbox shows. */
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
  /** The operation that the profile of the token has to allow. */
  readonly needs: string;
  readonly readOnly: boolean;
  /** When its line is written; `by itself`: the operation writes lines of its own. */
  readonly recorded: 'before' | 'after' | 'by itself';
  /** It begins and changes nothing, or ends something: it is done also while the server is frozen. */
  readonly whileFrozen?: boolean | undefined;
}

/**
 * The way of every call: its profile allows the operation, the owner has not frozen the server, and the call is on
 * record: a change before it is done, what only reads before its answer leaves, a refusal as well. Throws what `run`
 * throws, `AccessLapsed`, `OperationNotAllowed`, `Frozen`, and `MachineRefused` where the call cannot be recorded.
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
  return hasBegun
    ? ` by now, while ${operation} was under way: what that had begun was not taken back`
    : ', so nothing was done';
}

/** An answer whose message says which of the operations that it advises the token may not use. */
export function withForbidden(answer: Answer, { operations }: Profile): Answer {
  const { [ADVISED]: advised = [], [STATE]: state, ...fields } = answer;
  const forbidden = OPERATIONS.filter((name) => advised.includes(name) && operations?.includes(name) === false);
  return {
    ...fields,
    ...(forbidden.length > 0 && { message: `${fields['message']}${FORBIDDEN}${forbidden.join(', ')}.` }),
    // A call that comes next needs the session, but for a new command.
    ...(state && { [STATE]: { ...state, isNeeded: state.isNeeded || advised.some((one) => one !== 'shell') } }),
  };
}

/** How long a command waits for its turn, when as many run as may. */
const QUEUE_SECONDS = 5;

/** Until when a call that begins to wait now waits for a slot. */
export const slotDeadline = ({ deadline }: CallContext) => deadline.before(LOOK_SECONDS).orAfter(QUEUE_SECONDS);

/** Waits for a slot among the commands that run; gives the function that frees it, once. Throws `TooManyRequests`. */
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

/** Names three of the caller's own commands that have written nothing for the longest time: forgotten ones hold slots for an hour. */
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
