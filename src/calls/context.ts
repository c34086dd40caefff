import type { Access } from '../access/access.ts';
import { OPERATIONS, type Profile } from '../access/profile.ts';
import type { Deadline, SignalOnce } from '../lib/clock.ts';
import { AccessLapsed } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import type { KnownSecrets } from '../secrets/secrets.ts';
import { Masker, WINDOW_GARBAGE_BYTES } from './masking.ts';

/** The limits that operations hold their answers and arguments to. */
export interface OperationLimits {
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  readonly maxBackgroundSeconds: number;
  readonly onTimeout: 'kill' | 'background';
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxRunningPerToken: number;
}

/** One call of an operation, as a door hands it over. */
export interface Call {
  /** The name of the token it came with: sessions belong to it. */
  readonly principal: string;
  /** Where it came from. */
  readonly address: string;
  /** The answer leaves before this. */
  readonly deadline: Deadline;
  /** Fires when the agent stops, or the client takes the call back: who waits answers with what there is. */
  readonly shutdown: SignalOnce;
  /** Fires when the client takes the call back, just before `shutdown`: a command that the call waits for is stopped. */
  readonly cancelled?: SignalOnce;
  /** Called once when the call begins to wait for a command; `outputBytes` returns what that has written so far. */
  readonly watch?: (outputBytes: () => number) => void;
  /** Every answer has fewer characters of JSON than this, where the door has room for fewer than the settings allow. */
  readonly maxReplyChars?: number;
}

/** An answer's fields; the door writes them as JSON. */
export type Answer = Readonly<Record<string, unknown>>;

/** What contexts are built from. */
export interface ContextDeps {
  /** What the bearer of a token may do. */
  readonly access: Access;
  readonly limits: OperationLimits;
  /** The agent's own tokens and secrets, which no answer of a profile that masks shows. */
  readonly secrets: KnownSecrets;
  /** What the work that a client makes long waits for, piece by piece. */
  readonly turns: Turns;
}

/** A call with what its token may do. Built once, and passed to every step of the call. */
export interface CallContext extends Call {
  readonly profile: Profile;
  /** Those of the agent, within those of the profile. */
  readonly limits: OperationLimits;
  /** Masks the answer; undefined where the profile wants no masks. */
  readonly masker: Masker | undefined;
  readonly maxReplyChars: number;
  readonly deps: ContextDeps;
}

/** The context of a call. Throws `AccessLapsed` when the token or its profile is gone. */
export function contextOf(deps: ContextDeps, call: Call): CallContext {
  const profile = deps.access.profileFor(call.principal);
  const maxReplyChars = call.maxReplyChars ?? deps.limits.maxReplyChars;
  return { ...call, deps, maxReplyChars, ...profileView(deps, call.principal, profile) };
}

/**
 * The context with the profile as it is now. A call that has waited looks at it again before a command starts, and
 * before an answer leaves. Throws `AccessLapsed` when the token or its profile is gone by now; `consequence` continues
 * its sentence: what that means for the call.
 */
export function revalidate(context: CallContext, consequence = ''): CallContext {
  const { deps, principal } = context;
  try {
    const profile = deps.access.profileFor(principal);
    return profile === context.profile ? context : { ...context, ...profileView(deps, principal, profile) };
  } catch (error) {
    throw error instanceof AccessLapsed && consequence !== '' ? error.with(consequence) : error;
  }
}

type ProfileView = Pick<CallContext, 'profile' | 'limits' | 'masker'>;

function profileView({ limits, secrets, turns }: ContextDeps, principal: string, profile: Profile): ProfileView {
  const masker = profile.mask ? new Masker(secrets, () => turns.take(principal, WINDOW_GARBAGE_BYTES)) : undefined;
  return { profile, limits: limitsWithin(limits, profile), masker };
}

function limitsWithin(limits: OperationLimits, { limits: own }: Profile): OperationLimits {
  const { exec_seconds, background_seconds } = own;
  if (exec_seconds === undefined && background_seconds === undefined) return limits;
  return {
    ...limits,
    maxExecSeconds: Math.min(limits.maxExecSeconds, exec_seconds ?? Number.POSITIVE_INFINITY),
    maxBackgroundSeconds: Math.min(limits.maxBackgroundSeconds, background_seconds ?? Number.POSITIVE_INFINITY),
  };
}

/** What an answer adds where its message advises what the token may not call. */
export const FORBIDDEN = ' The profile of this token does not allow ';
/** The sentence with all operations. */
const FORBIDDEN_CHARS = FORBIDDEN.length + OPERATIONS.join(', ').length + 1;

/** Most characters of JSON that the answer of a call may have, with room for what `withForbidden` adds. */
export function replyChars({ maxReplyChars, profile }: Pick<CallContext, 'maxReplyChars' | 'profile'>): number {
  return maxReplyChars - 1 - (profile.operations === undefined ? 0 : FORBIDDEN_CHARS);
}
