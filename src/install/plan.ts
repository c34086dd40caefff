import type { Access } from './changes.ts';
import { BINARY, DEFAULT_USER, PACKAGED_BINARY, PATHS } from './layout.ts';
import type { Ceilings } from './machine.ts';
import type { Manifest } from './manifest.ts';
import { fill, TEMPLATES } from './templates.ts';

/** What the files of an installation depend on. */
export interface PlanInput {
  readonly user: string;
  readonly group: string;
  readonly port: number;
  readonly watchdog: Manifest['watchdog'];
  readonly packaged: boolean;
  readonly staged: boolean;
  readonly ceilings: Ceilings;
  /** Logs of the original agent, outside of Agent3's own. */
  readonly oldLogs: readonly string[];
}

/** A file that the installation keeps up to date; the settings are not among them. */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
  readonly access: Access;
}

export interface PlannedDirectory {
  readonly path: string;
  readonly access: Access;
}

const PUBLIC: Access = { mode: 0o644 };

/** Every directory of an installation. */
export function plannedDirectories({ user, group }: PlanInput): PlannedDirectory[] {
  return [
    { path: PATHS.configuration, access: { mode: 0o755 } },
    { path: PATHS.profiles, access: { mode: 0o755 } },
    // What a person decides: the agent reads it, and root alone writes it.
    { path: PATHS.approvals, access: { mode: 0o750, owner: 'root', group } },
    { path: PATHS.home, access: { mode: 0o750, owner: user, group } },
    { path: PATHS.sessions, access: { mode: 0o700, owner: user, group } },
    // Not the service's own: root writes there too, and must not be led elsewhere by a link.
    { path: PATHS.logs, access: { mode: 0o750, owner: 'root', group } },
  ];
}

/** Every file of an installation but the executable, the settings and the manifest. */
export function plannedFiles(input: PlanInput): PlannedFile[] {
  const { watchdog, packaged, staged } = input;
  return [
    { path: PATHS.userDropIn, content: userDropIn(input), access: PUBLIC },
    { path: PATHS.commandsUserDropIn, content: commandsUserDropIn(input), access: PUBLIC },
    { path: PATHS.commandsCeilingDropIn, content: commandsCeilingDropIn(input.ceilings), access: PUBLIC },
    { path: PATHS.sliceCeilingDropIn, content: sliceCeilingDropIn(input.ceilings), access: PUBLIC },
    ...(packaged ? [] : ownFiles(input)),
    ...(watchdog === 'timer' && !packaged
      ? [
          { path: PATHS.watchdogService, content: TEMPLATES.watchdogService, access: PUBLIC },
          { path: PATHS.watchdogTimer, content: TEMPLATES.watchdogTimer, access: PUBLIC },
        ]
      : []),
    ...(watchdog === 'cron'
      ? [{ path: PATHS.watchdogCron, content: watchdogCron(packaged ? PACKAGED_BINARY : BINARY), access: PUBLIC }]
      : []),
    ...(staged ? firstBootFiles(input) : []),
  ];
}

function ownFiles({ oldLogs }: PlanInput): PlannedFile[] {
  const captured = ['agent3.out', 'agent3.err', 'watchdog.log'].map((name) => `${PATHS.logs}/${name}`);
  const logs = [...captured, ...oldLogs.filter((path) => !captured.includes(path))];
  return [
    { path: PATHS.unit, content: TEMPLATES.unit, access: PUBLIC },
    { path: PATHS.commandsUnit, content: TEMPLATES.commandsUnit, access: PUBLIC },
    { path: PATHS.slice, content: TEMPLATES.slice, access: PUBLIC },
    {
      path: PATHS.logrotate,
      content: fill(TEMPLATES.logrotate, { CAPTURED_LOGS: logs.join(' ') }),
      access: PUBLIC,
    },
  ];
}

/** Ports below this take a capability (ip(7)). */
const FIRST_FREE_PORT = 1024;

function userDropIn({ user, group, port }: PlanInput): string {
  if (user === 'root') return TEMPLATES.rootDropIn;
  const capabilities = port < FIRST_FREE_PORT ? 'CAP_NET_BIND_SERVICE' : '';
  return fill(TEMPLATES.userDropIn, { USER: user, GROUP: group, CAPABILITIES: capabilities });
}

/** The cgroup belongs to the user of the agent, who makes the commands' own below it. */
function commandsUserDropIn({ user, group }: PlanInput): string {
  return `# The user of agent3.service.
[Service]
User=${user}
Group=${group}
`;
}

function sliceCeilingDropIn({ memoryMaxMib, tasksMax }: Ceilings): string {
  return `# The ceiling for the agent and every command together, as the installer chose it for this machine: no command can
# lock up the server. To change it: systemctl edit agent3.slice
[Slice]
MemoryMax=${memoryMaxMib}M
MemorySwapMax=0
TasksMax=${tasksMax}
# Half of what other services have (100), when they want it too.
CPUWeight=50
IOWeight=50
`;
}

/** What the agent itself has left when its commands have reached their ceiling: it takes up to 120 MiB and 30 threads. */
const AGENT_RESERVE = { memoryMib: 128, tasks: 64 };

function commandsCeilingDropIn({ memoryMaxMib, tasksMax }: Ceilings): string {
  return `# The ceiling for all commands together: what agent3.slice has, less what the agent needs to answer and to stop them.
# To change it: systemctl edit agent3-commands
[Service]
MemoryMax=${memoryMaxMib - AGENT_RESERVE.memoryMib}M
TasksMax=${tasksMax - AGENT_RESERVE.tasks}
`;
}

function watchdogCron(binary: string): string {
  return `# Agent3's watchdog, where systemd's timers are not to be had.
*/5 * * * * root ${binary} watchdog --once
`;
}

/** For an image: user and directories are made when it first boots (sysusers.d(5), tmpfiles.d(5)). */
function firstBootFiles({ user, group }: PlanInput): PlannedFile[] {
  const tmpfiles = [
    `d ${PATHS.approvals} 0750 root ${group}`,
    `d ${PATHS.home} 0750 ${user} ${group}`,
    `d ${PATHS.sessions} 0700 ${user} ${group}`,
    `d ${PATHS.logs} 0750 root ${group}`,
    `f ${PATHS.logFile} 0640 ${user} ${group}`,
  ];
  const files = [{ path: PATHS.tmpfiles, content: `${tmpfiles.join('\n')}\n`, access: PUBLIC }];
  if (user !== DEFAULT_USER) return files;
  const sysusers = `u ${DEFAULT_USER} - "Agent3" ${PATHS.home} /usr/sbin/nologin\n`;
  return [{ path: PATHS.sysusers, content: sysusers, access: PUBLIC }, ...files];
}
