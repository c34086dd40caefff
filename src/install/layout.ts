import { LOOK_POLICY } from '../lib/look-user.ts';

/** All paths, absolute on the machine. `--root` is put in front when files are accessed. */
export const PATHS = {
  settings: '/etc/agent3/agent3.env',
  tokens: '/etc/agent3/tokens.json',
  profiles: '/etc/agent3/profiles.d',
  /** Only root may write. */
  approvals: '/etc/agent3/approvals',
  configuration: '/etc/agent3',
  manifest: '/etc/agent3/install.json',
  /** What was installed before Agent3: the original's unit, its logrotate configuration, its watchdog. */
  saved: '/etc/agent3/original',
  /** New versions of files that the owner has changed. */
  newFiles: '/etc/agent3/new',
  home: '/var/lib/agent3',
  sessions: '/var/lib/agent3/sessions',
  logs: '/var/log/agent3',
  logFile: '/var/log/agent3/agent3.log',
  audit: '/var/log/agent3/audit.jsonl',
  unit: '/etc/systemd/system/agent3.service',
  dropIns: '/etc/systemd/system/agent3.service.d',
  userDropIn: '/etc/systemd/system/agent3.service.d/10-user.conf',
  commandsUnit: '/etc/systemd/system/agent3-commands.service',
  commandsDropIns: '/etc/systemd/system/agent3-commands.service.d',
  commandsUserDropIn: '/etc/systemd/system/agent3-commands.service.d/10-user.conf',
  commandsLimitsDropIn: '/etc/systemd/system/agent3-commands.service.d/20-limits.conf',
  slice: '/etc/systemd/system/agent3.slice',
  sliceDropIns: '/etc/systemd/system/agent3.slice.d',
  sliceLimitsDropIn: '/etc/systemd/system/agent3.slice.d/20-limits.conf',
  watchdogService: '/etc/systemd/system/agent3-watchdog.service',
  watchdogTimer: '/etc/systemd/system/agent3-watchdog.timer',
  watchdogCron: '/etc/cron.d/agent3-watchdog',
  watchdogState: '/run/agent3-watchdog',
  /** Mounts for the sandboxes of an agent that runs as root. */
  views: '/run/agent3-views',
  /** The lock of a running installer. */
  lock: '/run/agent3-install.lock',
  busPolicy: LOOK_POLICY,
  /** The key that agent and console share, and the console's URL. */
  consoleSettings: '/etc/agent3/console.env',
  passkeys: '/etc/agent3/passkeys.json',
  /** The findings for the console; `console/doctor-note.ts` has the same path. */
  doctor: '/etc/agent3/doctor.json',
  /** Directory of orders of the console. */
  console: '/var/lib/agent3-console',
  orders: '/var/lib/agent3-console/orders',
  rootOrders: '/var/lib/agent3-console/root-orders',
  links: '/var/lib/agent3-console/links',
  subscriptions: '/var/lib/agent3-console/subscriptions',
  consoleAgentDropIn: '/etc/systemd/system/agent3.service.d/30-console.conf',
  consoleSocketUnit: '/etc/systemd/system/agent3-console.socket',
  consoleSocketDropIns: '/etc/systemd/system/agent3-console.socket.d',
  consoleSocketDropIn: '/etc/systemd/system/agent3-console.socket.d/10-caddy.conf',
  consoleProxyUnit: '/etc/systemd/system/agent3-console-proxy.service',
  consoleUnit: '/etc/systemd/system/agent3-console.service',
  obeyPathUnit: '/etc/systemd/system/agent3-console-obey.path',
  obeyUnit: '/etc/systemd/system/agent3-console-obey.service',
  agentSocketDirectory: '/run/agent3',
  consoleSocket: '/run/agent3-console.sock',
  /** Root's answers to orders and links. */
  answers: '/run/agent3-orders',
  consoleSite: '/etc/caddy/agent3-console.caddy',
  /** The console's page. */
  page: '/usr/local/share/agent3/console',
  /** The inventory of a hub, and the configuration of NATS. */
  fleet: '/etc/agent3/fleet',
  /** The pinned hub of a server. */
  hub: '/etc/agent3/hub.json',
  /** The valid passkeys of the hub's console, and the time of its last order. */
  hubPasskeys: '/etc/agent3/hub-passkeys.json',
  hubOrdered: '/etc/agent3/hub-ordered.json',
  /** Directory in which the agent leaves that console's orders for root. */
  hubOrders: '/var/lib/agent3/hub-orders',
  hubObeyPathUnit: '/etc/systemd/system/agent3-hub-obey.path',
  hubObeyUnit: '/etc/systemd/system/agent3-hub-obey.service',
  natsUnit: '/etc/systemd/system/agent3-nats.service',
  logrotate: '/etc/logrotate.d/agent3',
  caddySite: '/etc/caddy/agent3.caddy',
  caddyfile: '/etc/caddy/Caddyfile',
  sysusers: '/usr/lib/sysusers.d/agent3.conf',
  tmpfiles: '/usr/lib/tmpfiles.d/agent3.conf',
} as const;

/** Where the build at 8b18cd4 had files that have another name now, by that name. */
export const FORMER_PATHS: Readonly<Record<string, string>> = {
  [PATHS.commandsLimitsDropIn]: '/etc/systemd/system/agent3-commands.service.d/20-ceiling.conf',
  [PATHS.sliceLimitsDropIn]: '/etc/systemd/system/agent3.slice.d/20-ceiling.conf',
};

/** The executable: installed by hand, or by a package. */
export const BINARY = '/usr/local/bin/agent3';
export const PACKAGED_BINARY = '/usr/bin/agent3';
/**
 * Everybody may run it, but only root may read it: then the kernel lets no process of the agent's user inspect the program,
 * from its start on, when the token is still in its environment (ptrace(2), execve(2)).
 */
export const BINARY_ACCESS = { mode: 0o711 } as const;

export const SERVICE = 'agent3.service';
/** The NATS server of a hub. */
export const NATS_SERVICE = 'agent3-nats.service';
/** The path unit for orders of a hub, enabled while the server has one. */
export const HUB_OBEY = 'agent3-hub-obey.path';
export const HUB_OBEY_LINK = `/etc/systemd/system/paths.target.wants/${HUB_OBEY}`;
export const HUB_OBEY_SERVICE = 'agent3-hub-obey.service';
/** The unit in which commands run. */
export const COMMANDS = 'agent3-commands.service';
/** The slice of the agent and its commands. Stopping it stops them all. */
export const SLICE = 'agent3.slice';
export const WATCHDOG_SERVICE = 'agent3-watchdog.service';
export const WATCHDOG_TIMER = 'agent3-watchdog.timer';

/** The page of the console in the package. */
export const PACKAGED_PAGE = '/usr/share/agent3/console';

/** Units that run while the console is installed: its socket, and the path unit for its orders. */
export const CONSOLE_UNITS = ['agent3-console.socket', 'agent3-console-obey.path'] as const;
/** Units that run only while the console is used. */
export const CONSOLE_SERVICES = [
  'agent3-console-proxy.service',
  'agent3-console.service',
  'agent3-console-obey.service',
] as const;

/** systemd makes it when the console starts, and removes it at its end. */
export const CONSOLE_RUNTIME = '/run/agent3-console';

/** The system bus, of any implementation. */
export const BUS = 'dbus.service';

/** The user of the service. */
export const DEFAULT_USER = 'agent3';

/** The user that the console runs as. */
export const CONSOLE_USER = 'agent3-console';

/** The shell of users without login. */
export const NOLOGIN = '/usr/sbin/nologin';
/** Home of the read-only user, which never exists (Debian Policy 9.2.3). */
export const LOOK_HOME = '/nonexistent';
/** By this comment the installer recognizes its own read-only user. */
export const LOOK_COMMENT = 'Agent3 readonly commands';
