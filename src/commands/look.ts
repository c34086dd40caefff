import { BUILT_IN, lookProfile, type Profile } from '../access/profile.ts';
import type { Clock } from '../lib/clock.ts';
import { ProfileUnavailable } from '../lib/errors.ts';
import { LOOK_POLICY, LOOK_USER } from '../lib/look-user.ts';
import type { Decision } from '../rules/rule.ts';
import { busFingerprint } from '../sandbox/machine-view.ts';
import { busFault } from '../sandbox/probing.ts';
import type { SandboxSpec } from '../sandbox/sandbox.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { type Isolation, isolationOf, probe } from './isolation.ts';

/** Returns why no command of `look` can run here; undefined if it can. Waits while that is being tried. */
export async function lookFault(
  ownPaths: readonly string[],
  clock: Clock,
  profile: Profile = BUILT_IN.full,
): Promise<string | undefined> {
  try {
    const { sandbox } = isolationOf(lookProfile(profile), ownPaths);
    return sandbox && (await probe(sandbox, clock));
  } catch (error) {
    if (error instanceof ProfileUnavailable) return error.hint;
    throw error;
  }
}

/** Returns what `look` lacks for a profile: the sandbox, its user, or the policy of the bus; undefined if nothing. */
export async function lookLack(
  profile: Profile,
  ownPaths: readonly string[],
  clock: Clock,
): Promise<string | undefined> {
  const fault = await lookFault(ownPaths, clock, profile);
  if (fault !== undefined) return `it is not offered: ${fault}`;
  const bus = await lookBusFault(isolationOf(lookProfile(profile), ownPaths), clock);
  return bus && `it shows no services: ${bus}`;
}

/** Returns why the commands of `look` have no D-Bus here, and so no systemctl(1); undefined if they have it. */
export async function lookBusFault({ sandbox }: Pick<Isolation, 'sandbox'>, clock: Clock): Promise<string | undefined> {
  if (sandbox?.account?.name !== LOOK_USER)
    return process.geteuid?.() === 0
      ? `commands of this profile do not run as ${LOOK_USER}`
      : `only an agent that runs as root has a user for it, ${LOOK_USER}`;
  const key = `${busFingerprint(LOOK_POLICY)} ${sandbox.account.user}`;
  if (tried?.key !== key || clock.elapsed() >= tried.untilMs) tried = tryBus(key, sandbox, clock);
  return await tried.fault;
}

/** How long a fault is believed: when its owner has corrected it, the next command notices. */
const TRY_AGAIN_MS = 2000;

interface Try {
  readonly key: string;
  readonly fault: Promise<string | undefined>;
  /** Until when the result is believed, on the monotonic clock. */
  untilMs: number;
}

let tried: Try | undefined;

function tryBus(key: string, sandbox: SandboxSpec, clock: Clock): Try {
  const fault = busFault({ ...sandbox, machine: { bus: true } }).then((found) => found && faultText(found));
  const made: Try = { key, fault, untilMs: Number.POSITIVE_INFINITY };
  void fault.then((found) => {
    if (found !== undefined) made.untilMs = clock.elapsed() + TRY_AGAIN_MS;
  });
  return made;
}

/** Returns the same isolation, with the D-Bus of the machine if a command that only looks may have it. */
export async function withBus(isolation: Isolation, clock: Clock): Promise<Isolation> {
  const { sandbox } = isolation;
  if (sandbox?.machine === undefined || (await lookBusFault(isolation, clock)) !== undefined) return isolation;
  return { ...isolation, sandbox: { ...sandbox, machine: { bus: true } } };
}

/** Commands that only look need no approval. */
export function unasked(decision: Decision): Decision {
  const reason = `a person has to approve it (${decision.reason}), and look asks nobody: run it with shell`;
  return { ...decision, reason };
}
