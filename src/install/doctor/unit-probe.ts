import type { Profile } from '../../access/profile.ts';
import type { MachineFault } from '../../sandbox/sandbox-cause.ts';
import { SERVICE } from '../layout.ts';
import { hasSystemd } from '../machine.ts';

/** What of a profile decides whether its commands can run on a machine. */
export type MachineProfile = Pick<Profile, 'name' | 'user' | 'sandbox'>;

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

/** What a unit forbids to its processes, in its order: `NAME=VALUE`, from the text that `systemctl cat` gives. */
export function confiningSettings(unit: string): string[] {
  return serviceLines(unit).filter((line) => CONFINING.test(line));
}

/** The settings in the sections [Service] of the text that `systemctl cat` gives, in its order: `NAME=VALUE`. */
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

/**
 * Why the commands of profiles could not run in the installed service, by name: tried in a unit that forbids what that
 * of the agent forbids. Undefined where only root could find out, or where there is no service.
 */
export function faultsInUnit(profiles: readonly MachineProfile[]): ReadonlyMap<string, MachineFault> | undefined {
  if (process.geteuid?.() !== 0 || !hasSystemd()) return undefined;
  const unit = Bun.spawnSync(['systemctl', 'cat', SERVICE], { stderr: 'ignore' });
  if (unit.exitCode !== 0) return undefined;
  const settings = confiningSettings(unit.stdout.toString()).flatMap((line) => ['-p', line]);
  const tried = profiles.map(({ name, user, sandbox }) => ({ name, user, sandbox }));
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
