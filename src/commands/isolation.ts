import type { Access } from '../access/access.ts';
import { type Profile, userOf } from '../access/profile.ts';
import type { Clock } from '../lib/clock.ts';
import { ProfileUnavailable } from '../lib/errors.ts';
import { LOOK_USER } from '../lib/look-user.ts';
import { accountOf, type NamedAccount } from '../process/environment.ts';
import { type HiddenPaths, hiddenNow } from '../sandbox/hidden.ts';
import { idOf } from '../sandbox/pattern-tree.ts';
import { bubblewrapFingerprint, sandboxFault } from '../sandbox/probing.ts';
import type { SandboxSpec } from '../sandbox/sandbox.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { overlaps, workspaceFault } from '../sandbox/workspace.ts';

/** What a profile means for one command: user, sandbox and limits. */
export interface Isolation {
  readonly sandbox: SandboxSpec | undefined;
  /** Undefined: the user of the agent. */
  readonly account: NamedAccount | undefined;
  /** Size limits of a file that it writes, and of a core dump; undefined: no limit. */
  readonly fileBytes: number | undefined;
  readonly coreBytes: number | undefined;
  readonly limits: {
    readonly memoryBytes: number | undefined;
    readonly processes: number | undefined;
    readonly cpuPercent: number | undefined;
    readonly cpuWeight: number | undefined;
    readonly ioWeight: number | undefined;
  };
}

const MIB = 1_048_576;

/** Returns the isolation of a profile's commands. `ownPaths` are the agent's, which every sandbox hides. */
export function isolationOf(profile: Profile, ownPaths: readonly string[]): Isolation {
  const { name, sandbox, limits } = profile;
  const user = userOf(profile, process.geteuid?.() === 0);
  const account = user === undefined ? undefined : accountFor(name, user);
  const bytes = (mib: number | undefined): number | undefined => (mib === undefined ? undefined : mib * MIB);
  return {
    sandbox: sandbox && {
      writable: sandbox.directory === undefined ? [] : [sandbox.directory],
      network: sandbox.network,
      hidden: allHidden(sandbox.hidden, ownPaths),
      account,
      ...(profile.isLook && { machine: { bus: false } }),
    },
    account,
    fileBytes: bytes(limits.file_mib),
    coreBytes: bytes(limits.core_mib),
    limits: {
      memoryBytes: bytes(limits.memory_mib),
      processes: limits.processes,
      cpuPercent: limits.cpu_percent,
      cpuWeight: limits.cpu_weight,
      ioWeight: limits.io_weight,
    },
  };
}

/** Returns undefined if the agent runs as this user already. */
function accountFor(profile: string, user: string): NamedAccount | undefined {
  const own = process.geteuid?.() ?? 0;
  const account = accountOf(user);
  if (own === 0 && account !== undefined) return account.user === 0 ? undefined : account;
  const missing = `there is no user ${user} on this server${user === LOOK_USER ? ' (agent3 install makes it)' : ''}`;
  const reason = own === 0 ? missing : 'only an agent that runs as root can become another user';
  throw new ProfileUnavailable(
    `Nothing was run: the profile ${profile} of this token runs commands as ${user}, but ${reason}. Tell the owner of the server.`,
  );
}

const listsWithOwn = new WeakMap<readonly string[], readonly string[]>();

/** Returns the same list for the same profile: caches use it as their key. The agent's own paths do not change. */
function allHidden(hidden: readonly string[], ownPaths: readonly string[]): readonly string[] {
  const known = listsWithOwn.get(hidden);
  if (known !== undefined) return known;
  const all = [...ownPaths, ...hidden];
  listsWithOwn.set(hidden, all);
  return all;
}

/**
 * Throws `ProfileUnavailable` if a profile's sandbox is not available: its commands are not run without it. Waits while
 * that is being tried.
 */
export async function requireSandbox(profile: Profile, spec: SandboxSpec, access: Access, clock: Clock): Promise<void> {
  const fault = access.overlapFault(profile, overlaps) ?? workspaceFaultOf(spec) ?? (await probe(spec, clock));
  if (fault === undefined) return;
  const who = profile.isLook ? 'look' : `the profile ${profile.name} of this token`;
  throw new ProfileUnavailable(
    `Nothing was run: ${who} needs a sandbox, but ${fault}. Tell the owner of the server.`,
    new Error(`no sandbox: ${fault}`),
  );
}

function workspaceFaultOf({ writable, account }: SandboxSpec): string | undefined {
  return writable.map((path) => workspaceFault(path, account)).find((fault) => fault !== undefined);
}

/** How long a fault that lasts is believed: when its owner has corrected it, the next command notices. */
const PROBE_AGAIN_MS = 2000;
const MAX_PROBES = 100;

interface Probe {
  readonly fault: Promise<string | undefined>;
  /** Until when the result is believed, on the monotonic clock: forever without a fault. */
  untilMs: number;
}

const probes = new Map<string, Probe>();

/** Returns why bubblewrap cannot make a sandbox, or undefined. Tries once, and again when bubblewrap was replaced. */
export function probe(spec: SandboxSpec, clock: Clock): Promise<string | undefined> {
  const key = `${bubblewrapFingerprint()} ${JSON.stringify({ ...spec, hidden: idOf(spec.hidden) })}`;
  const known = probes.get(key);
  if (known !== undefined && clock.elapsed() < known.untilMs) return known.fault;
  if (probes.size >= MAX_PROBES) probes.clear();
  const made: Probe = { fault: tried(), untilMs: Number.POSITIVE_INFINITY };
  probes.set(key, made);
  return made.fault;

  async function tried(): Promise<string | undefined> {
    const fault = await sandboxFault(spec);
    if (fault !== undefined) made.untilMs = clock.elapsed() + (fault.isPassing === true ? 0 : PROBE_AGAIN_MS);
    return fault && faultText(fault);
  }
}

/** A start has failed after a successful try: the next one tries again. */
export function forgetProbes(): void {
  probes.clear();
}

/** Tries the sandboxes of `profiles` one after another, so that no call has to wait for it. */
export async function probeAhead(
  profiles: readonly Profile[],
  ownPaths: readonly string[],
  clock: Clock,
): Promise<void> {
  for (const profile of profiles) {
    try {
      const { sandbox } = isolationOf(profile, ownPaths);
      if (sandbox !== undefined && workspaceFaultOf(sandbox) === undefined) await probe(sandbox, clock);
    } catch (error) {
      // Its first call is refused, with the reason.
      if (!(error instanceof ProfileUnavailable)) throw error;
    }
  }
}

/**
 * Opens something in a sandbox, once again where what is hidden changed while the sandbox was made: nothing was done.
 */
export async function openInSandbox<T>(sandbox: SandboxSpec | undefined, open: () => Promise<T>): Promise<T> {
  const hasChanged = hiddenChange(sandbox);
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof ProfileUnavailable) || !hasChanged()) throw error;
    return await open();
  }
}

/** Returns whether, from now on, a sandbox hides something else. */
export function hiddenChange(sandbox: SandboxSpec | undefined): () => boolean {
  const before = hiddenIn(sandbox);
  return () => hiddenIn(sandbox) !== before;
}

/** The same object until it changes; undefined where that fails: making the sandbox reports the reason. */
function hiddenIn(sandbox: SandboxSpec | undefined): HiddenPaths | undefined {
  try {
    return sandbox && hiddenNow(sandbox);
  } catch {
    return undefined;
  }
}

/** Throws `ProfileUnavailable` if a profile has limits and nothing `holds` a command to them. */
export function requireLimits(isolation: Isolation | undefined, holds: boolean): void {
  if (holds || isolation === undefined) return;
  if (Object.values(isolation.limits).every((limit) => limit === undefined)) return;
  throw new ProfileUnavailable(
    'Nothing was run: the profile of this token limits memory, processes, CPU or disk of a command, but this agent has no cgroup to enforce that. Tell the owner of the server: agent3 doctor says what is missing.',
    new Error('no cgroup for the limits of a profile'),
  );
}
