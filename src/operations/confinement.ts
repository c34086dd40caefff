import { closeSync, writeFileSync } from 'node:fs';
import { MachineRefused, OperationNotAllowed, ProfileUnavailable } from '../core/errors.ts';
import { accountOf, type NamedAccount } from '../execution/environment.ts';
import { type SandboxSpec, sandboxArgv, sandboxFault } from '../execution/sandbox.ts';
import { seccompFilter } from '../execution/seccomp.ts';
import { openPipe } from '../platform/libc.ts';
import type { Profile } from '../profiles/profile.ts';

/** What a profile means for one command. */
export interface Confinement {
  readonly sandbox: SandboxSpec | undefined;
  /** Undefined: the user of the agent. */
  readonly account: NamedAccount | undefined;
  /** Of a file that it writes, and of a core dump; undefined: no limit. */
  readonly fileBytes: number | undefined;
  readonly coreBytes: number | undefined;
  readonly ceilings: {
    readonly memoryBytes: number | undefined;
    readonly processes: number | undefined;
    readonly cpuPercent: number | undefined;
    readonly cpuWeight: number | undefined;
    readonly ioWeight: number | undefined;
  };
}

const MIB = 1_048_576;

/** What the commands of a profile are held in. `ownPaths` are the agent's, which no sandbox shows. */
export function confinementOf({ name, sandbox, user, limits }: Profile, ownPaths: readonly string[]): Confinement {
  const bytes = (mib: number | undefined): number | undefined => (mib === undefined ? undefined : mib * MIB);
  return {
    sandbox: sandbox && {
      writable: sandbox.directory === undefined ? [] : [sandbox.directory],
      network: sandbox.network,
      hidden: [...ownPaths, ...sandbox.hidden],
    },
    account: user === undefined ? undefined : accountFor(name, user),
    fileBytes: bytes(limits.file_mib),
    coreBytes: bytes(limits.core_mib),
    ceilings: {
      memoryBytes: bytes(limits.memory_mib),
      processes: limits.processes,
      cpuPercent: limits.cpu_percent,
      cpuWeight: limits.cpu_weight,
      ioWeight: limits.io_weight,
    },
  };
}

function accountFor(profile: string, user: string): NamedAccount {
  const own = process.geteuid?.() ?? 0;
  const account = accountOf(user);
  if (own === 0 && account !== undefined) return account;
  const reason = own === 0 ? `there is no user ${user}` : 'only an agent that runs as root can become another user';
  throw new ProfileUnavailable(
    `Nothing was run: the profile ${profile} of this token runs commands as ${user}, and ${reason}. Tell the owner of the server.`,
  );
}

/** setpriv(1), of util-linux. */
function asUser({ name, group }: NamedAccount): string[] {
  return ['setpriv', '--reuid', name, '--regid', String(group), '--init-groups', '--'];
}

/** Throws `OperationNotAllowed` for an operation that a profile has not. */
export function demandOperation({ name, operations }: Profile, operation: string): void {
  if (operations === undefined || operations.includes(operation)) return;
  throw new OperationNotAllowed(
    `The profile ${name} of this token does not allow ${operation}; it allows ${operations.join(', ') || 'nothing'}.`,
  );
}

/** The limits of an agent within those of a profile. */
export function limitsWithin<Limits extends { readonly maxExecSeconds: number; readonly maxBackgroundSeconds: number }>(
  limits: Limits,
  { limits: own }: Profile,
): Limits {
  return {
    ...limits,
    maxExecSeconds: Math.min(limits.maxExecSeconds, own.exec_seconds ?? Number.POSITIVE_INFINITY),
    maxBackgroundSeconds: Math.min(limits.maxBackgroundSeconds, own.background_seconds ?? Number.POSITIVE_INFINITY),
  };
}

/** Whether the commands of a profile run as they would without one. */
export function isFree({ sandbox, user, limits }: Profile): boolean {
  return sandbox === undefined && user === undefined && Object.keys(limits).length === 0;
}

/** A fault that was found stays so long: its owner mends it, and the next command finds out. */
const PROBE_AGAIN_MS = 2000;
const probes = new Map<string, { readonly fault: string | undefined; readonly lookedMs: number }>();

/** Throws `MachineRefused` where a profile's sandbox cannot be had: its commands are not run without it. */
export function demandSandbox({ name, user }: Profile, spec: SandboxSpec, nowMs: number): void {
  const key = JSON.stringify([spec, user]);
  const known = probes.get(key);
  const fault =
    known !== undefined && (known.fault === undefined || nowMs - known.lookedMs < PROBE_AGAIN_MS)
      ? known.fault
      : sandboxFault(spec);
  probes.set(key, { fault, lookedMs: nowMs });
  if (fault === undefined) return;
  throw new MachineRefused(
    `Nothing was run: the profile ${name} of this token needs a sandbox, and ${fault}. Tell the owner of the server.`,
    new Error(`no sandbox: ${fault}`),
  );
}

/** The words before a command that hold it in its profile: user, limits of files, sandbox. `file` is one it has to see. */
export function confinedBy(confinement: Confinement | undefined, cwd: string, file: string | undefined): string[] {
  if (confinement === undefined) return [];
  const { sandbox, account, fileBytes, coreBytes } = confinement;
  return [
    ...(account === undefined ? [] : asUser(account)),
    ...(fileBytes === undefined ? [] : ['prlimit', `--fsize=${fileBytes}`, '--']),
    ...(coreBytes === undefined ? [] : ['prlimit', `--core=${coreBytes}`, '--']),
    ...(sandbox === undefined ? [] : sandboxArgv(sandbox, cwd, file === undefined ? [] : [file])),
  ];
}

/** A descriptor to read the filter of a sandbox from; the caller closes it. Throws `MachineRefused`. */
export function openFilter(): number {
  const filter = seccompFilter();
  const pipe = filter && openPipe(filter.length);
  if (filter === undefined || pipe === undefined) {
    throw new MachineRefused('Nothing was run: the filter of the sandbox cannot be had.', new Error('no filter'));
  }
  writeFileSync(pipe.writing, filter);
  closeSync(pipe.writing);
  return pipe.reading;
}
