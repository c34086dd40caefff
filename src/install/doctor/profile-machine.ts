import { accessSync, constants } from 'node:fs';
import { userInfo } from 'node:os';
import { userOf } from '../../access/profile.ts';
import { errnoOf } from '../../lib/errors.ts';
import { LOOK_USER } from '../../lib/look-user.ts';
import { accountOf, type NamedAccount } from '../../process/environment.ts';
import { hardLinkNotes } from '../../sandbox/hidden.ts';
import { asUser, sandboxFault } from '../../sandbox/sandbox.ts';
import type { MachineFault } from '../../sandbox/sandbox-cause.ts';
import { faultsInUnit, type MachineProfile } from './unit-probe.ts';

/**
 * Why the commands of profiles could not run on this machine as the profiles want it, by the names of the profiles.
 * Where the agent is installed, with the user `own`, they are tried under everything that its unit forbids; else as the
 * user that they would run as.
 */
export async function machineFaults(
  profiles: readonly MachineProfile[],
  own: string | undefined,
): Promise<ReadonlyMap<string, MachineFault>> {
  const bound = profiles.filter(({ user, sandbox }) => user !== undefined || sandbox !== undefined);
  if (bound.length === 0) return new Map();
  const inUnit = own === undefined ? undefined : faultsInUnit(bound);
  return inUnit ?? faultsHere(bound, own);
}

/** The same, for what this process itself may do. */
export async function faultsHere(
  profiles: readonly MachineProfile[],
  own: string | undefined,
): Promise<ReadonlyMap<string, MachineFault>> {
  const faults = new Map<string, MachineFault>();
  for (const profile of profiles) {
    const fault = await machineFault(profile, own);
    if (fault !== undefined) faults.set(profile.name, fault);
  }
  return faults;
}

async function machineFault(profile: MachineProfile, own: string | undefined): Promise<MachineFault | undefined> {
  const { sandbox } = profile;
  const user = userOf(profile, process.geteuid?.() === 0 && (own === undefined || own === 'root'));
  if (user !== undefined && accountOf(user) === undefined) {
    return { what: `there is no user ${user}`, ...(user === LOOK_USER && { cure: 'sudo agent3 install' }) };
  }
  if (sandbox === undefined) return undefined;
  const { directory } = sandbox;
  const account = becomes(user ?? own);
  const spec = { ...sandbox, writable: directory === undefined ? [] : [directory], account };
  const fault = await sandboxFault(spec);
  if (fault !== undefined || directory === undefined) return fault;
  return account === undefined ? writingFault(directory) : writingFaultOf(account, directory);
}

/** Why this process cannot write to a directory. */
function writingFault(directory: string): MachineFault | undefined {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    if (errnoOf(error) === 'EROFS') {
      const cure = `if its file system is not read-only, ReadWritePaths=${directory} in: systemctl edit agent3`;
      return { what: `${directory} is read-only`, cure };
    }
    const { username } = userInfo();
    return { what: `the user ${username} may not write to ${directory}`, cure: `chown ${username} ${directory}` };
  }
}

function writingFaultOf(account: NamedAccount, directory: string): MachineFault | undefined {
  const { exitCode } = Bun.spawnSync([...asUser(account), 'test', '-w', directory, '-a', '-x', directory]);
  if (exitCode === 0) return undefined;
  return { what: `the user ${account.name} may not write to ${directory}`, cure: `chown ${account.name} ${directory}` };
}

/** Why the installed agent, whose user is `own`, cannot run commands as the user of a profile: only root becomes another. */
export function userFault({ user }: MachineProfile, own: string | undefined): string | undefined {
  if (user === undefined || own === undefined || own === 'root') return undefined;
  return `the installed agent runs as ${own}, not as root, so it cannot run commands as ${user}: they are refused`;
}

/** What the owner of a profile may not know of this machine, a sentence each. */
export function machineNotes({ sandbox }: MachineProfile): string[] {
  if (sandbox === undefined) return [];
  const writable = sandbox.directory === undefined ? [] : [sandbox.directory];
  return hardLinkNotes({ hidden: sandbox.hidden, writable });
}

function becomes(user: string | undefined): NamedAccount | undefined {
  return process.geteuid?.() === 0 && user !== undefined && user !== 'root' ? accountOf(user) : undefined;
}
