import { accessSync, constants, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { runCommand } from '../../../ops/watchdog/command.ts';
import { type Profile, userOf } from '../../access/profile.ts';
import { type ProfileSet, readProfiles } from '../../access/profile-files.ts';
import { errnoOf } from '../../lib/errors.ts';
import { LOOK_USER } from '../../lib/look-user.ts';
import { hasSystemd } from '../../linux/systemd.ts';
import { accountOf, type NamedAccount } from '../../process/environment.ts';
import { hardLinkNotes } from '../../sandbox/hidden.ts';
import { busFault, mayWriteIn, sandboxFault } from '../../sandbox/probing.ts';
import { asUser } from '../../sandbox/sandbox.ts';
import type { MachineFault } from '../../sandbox/sandbox-cause.ts';
import { PATHS, SERVICE } from '../layout.ts';

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
  const machine = profile.isLook ? { bus: false } : undefined;
  const spec = { ...sandbox, writable: directory === undefined ? [] : [directory], account, machine };
  const fault = await sandboxFault(spec);
  if (fault !== undefined || directory === undefined) return fault;
  const unwritable = account === undefined ? writingFault(directory) : undefined;
  if (unwritable !== undefined || (await mayWriteIn(spec, directory))) return unwritable;
  const name = account?.name ?? ownName();
  const root = name === 'root' ? ' in a sandbox, where it is a user like others' : '';
  return { what: `the user ${name} may not write to ${directory}${root}`, cure: `chown ${name} ${directory}` };
}

/** Why commands of `look` have no bus, where the agent runs as root. */
export async function lookBusFault({ sandbox }: MachineProfile): Promise<MachineFault | undefined> {
  const account = accountOf(LOOK_USER);
  if (sandbox === undefined || account === undefined) return undefined;
  return await busFault({ ...sandbox, writable: [], account, machine: { bus: true } });
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
    const username = ownName();
    return { what: `the user ${username} may not write to ${directory}`, cure: `chown ${username} ${directory}` };
  }
}

/** The user of this process; `userInfo` asks the environment first, which may have none. */
function ownName(): string {
  return process.geteuid?.() === 0 ? 'root' : userInfo().username;
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

/** What of a profile decides whether its commands can run on a machine. */
export type MachineProfile = Pick<Profile, 'name' | 'user' | 'sandbox' | 'isLook'>;

/** The settings of a unit that decide what its processes may do; others, such as ExecStart=, are the agent's alone. */
const CONFINING = new RegExp(
  `^(?:${[
    ...['User', 'Group', 'SupplementaryGroups', 'UMask', 'NoNewPrivileges', 'LockPersonality', 'KeyringMode'],
    ...['MemoryDenyWriteExecute', 'TemporaryFileSystem', 'RootDirectory', 'RootImage', 'DevicePolicy', 'DeviceAllow'],
    ...[
      'SystemCall\\w+',
      'Protect\\w+',
      'ProcSubset',
      'Private\\w+',
      'Restrict\\w+',
      'Bind\\w*Paths',
      '\\w+Capabilit\\w+',
    ],
    ...['ReadWritePaths', 'ReadOnlyPaths', 'InaccessiblePaths', 'ExecPaths', 'NoExecPaths', 'CapabilityBoundingSet'],
  ].join('|')})=`,
);

/** Returns what a unit forbids to its processes, in order: `NAME=VALUE`, from the output of `systemctl cat`. */
export function confiningSettings(unit: string): string[] {
  return serviceLines(unit).filter((line) => CONFINING.test(line));
}

/** Returns the settings in the sections [Service] of the output of `systemctl cat`, in order: `NAME=VALUE`. */
export function serviceLines(unit: string): string[] {
  let section = '';
  return unit
    .replace(/\s*\\\n\s*/g, ' ')
    .split('\n')
    .flatMap((raw) => {
      const line = raw.trim().replace(/^(\w+)\s*=\s*/, '$1=');
      section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section;
      return section === 'Service' && /^\w+=/.test(line) ? [line] : [];
    });
}

const PROBE_MS = 60_000;
/** systemd could not execute the program (systemd.exec(5), process exit codes). */
const EXIT_EXEC = 203;

/** `machineFaults` in a unit that forbids what the agent's does; undefined without root, or without a service. */
function faultsInUnit(profiles: readonly MachineProfile[]): ReadonlyMap<string, MachineFault> | undefined {
  if (process.geteuid?.() !== 0 || !hasSystemd()) return undefined;
  const unit = runCommand(['systemctl', 'cat', SERVICE]);
  if (unit.code !== 0) return undefined;
  const settings = confiningSettings(unit.stdout).flatMap((line) => ['-p', line]);
  const tried = profiles.map(({ name, user, sandbox, isLook }) => ({ name, user, sandbox, isLook }));
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    ['systemd-run', '--quiet', '--collect', '--wait', '--pipe', ...settings, process.execPath, 'try-sandboxes'],
    { stdin: Buffer.from(JSON.stringify(tried)), stdout: 'pipe', stderr: 'pipe', timeout: PROBE_MS },
  );
  if (exitCode === 0) return new Map(JSON.parse(stdout.toString()) as [string, MachineFault][]);
  // This program lies where the user of the service cannot run it, such as below /root.
  if (exitCode === EXIT_EXEC) return undefined;
  const said = stderr.toString().trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  const fault = { what: `it could not be tried as the service runs it (${said || `exit code ${exitCode}`})` };
  return new Map(profiles.filter(({ sandbox }) => sandbox !== undefined).map(({ name }) => [name, fault]));
}

/** Why the installed agent, whose user is `own`, cannot read a path; undefined when it can, or without root. */
export function unreadable(path: string, own: string | undefined): string | undefined {
  if (process.geteuid?.() !== 0 || own === undefined || own === 'root') return undefined;
  const account = accountOf(own);
  if (account === undefined) return undefined;
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const { exitCode } = Bun.spawnSync([
    ...asUser(account),
    'test',
    ...['-r', path],
    ...(isDirectory ? ['-a', '-x', path] : []),
  ]);
  return exitCode === 0 ? undefined : `the agent, which runs as ${own}, cannot read it`;
}

/** The profiles of the installed agent, whose user is `own`, as it has them. */
export function installedProfiles(own: string | undefined): ProfileSet {
  return readProfiles(PATHS.profiles, (path) => {
    const fault = unreadable(path, own);
    return fault && `${fault}: chmod a+rX ${path}`;
  });
}
