import { LOOK_POLICY } from '../lib/look-user.ts';

/** Where everything is, as absolute paths on the machine; `--root` comes in front of them where files are touched. */
export const PATHS = {
  settings: '/etc/agent3/agent3.env',
  tokens: '/etc/agent3/tokens.json',
  profiles: '/etc/agent3/profiles.d',
  /** Root's alone to write. */
  approvals: '/etc/agent3/approvals',
  configuration: '/etc/agent3',
  manifest: '/etc/agent3/install.json',
  /** What was there before Agent3: the original's unit, its logrotate config, its watchdog. */
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
  commandsLimitsDropIn: '/etc/systemd/system/agent3-commands.service.d/20-ceiling.conf',
  slice: '/etc/systemd/system/agent3.slice',
  sliceDropIns: '/etc/systemd/system/agent3.slice.d',
  sliceLimitsDropIn: '/etc/systemd/system/agent3.slice.d/20-ceiling.conf',
  watchdogService: '/etc/systemd/system/agent3-watchdog.service',
  watchdogTimer: '/etc/systemd/system/agent3-watchdog.timer',
  watchdogCron: '/etc/cron.d/agent3-watchdog',
  watchdogState: '/run/agent3-watchdog',
  /** Mounts of an agent that is root: what its sandboxes see. */
  views: '/run/agent3-views',
  /** Held by the installer that is at work. */
  lock: '/run/agent3-install.lock',
  busPolicy: LOOK_POLICY,
  /** The key that agent and console share, and the console's URL. */
  consoleSettings: '/etc/agent3/console.env',
  passkeys: '/etc/agent3/passkeys.json',
  /** What the console shows of it: `console/doctor-note.ts` has the same path. */
  doctor: '/etc/agent3/doctor.json',
  /** Where the console leaves orders. */
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
  /** The inventory of a hub, and what NATS is set up with. */
  fleet: '/etc/agent3/fleet',
  /** What a server has pinned of its hub. */
  hub: '/etc/agent3/hub.json',
  /** The passkeys of the hub's console that count here, and the time of its last order. */
  hubPasskeys: '/etc/agent3/hub-passkeys.json',
  hubOrdered: '/etc/agent3/hub-ordered.json',
  /** Where the agent leaves for root what that console orders. */
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

/** The executable: where an owner's own programs are, or where a package puts it. */
export const BINARY = '/usr/local/bin/agent3';
export const PACKAGED_BINARY = '/usr/bin/agent3';
/**
 * Everybody runs it and nobody but root reads it: the kernel lets no process of the agent's user look into a program that
 * this user cannot read, from its first moment on, when the token is still in its environment (ptrace(2), execve(2)).
 */
export const BINARY_ACCESS = { mode: 0o711 } as const;

export const SERVICE = 'agent3.service';
/** The NATS server of a hub. */
export const NATS_SERVICE = 'agent3-nats.service';
/** Root's eye on what a hub orders: enabled while the server has one. */
export const HUB_OBEY = 'agent3-hub-obey.path';
export const HUB_OBEY_LINK = `/etc/systemd/system/paths.target.wants/${HUB_OBEY}`;
export const HUB_OBEY_SERVICE = 'agent3-hub-obey.service';
/** What the commands run in. */
export const COMMANDS = 'agent3-commands.service';
/** The agent and its commands; stopping it stops them all. */
export const SLICE = 'agent3.slice';
export const WATCHDOG_SERVICE = 'agent3-watchdog.service';
export const WATCHDOG_TIMER = 'agent3-watchdog.timer';

/** Where the package has the page of the console. */
export const PACKAGED_PAGE = '/usr/share/agent3/console';

/** Stays while the console is installed: the way in, and root's eye on its orders. */
export const CONSOLE_UNITS = ['agent3-console.socket', 'agent3-console-obey.path'] as const;
/** Comes and goes with those who use it. */
export const CONSOLE_SERVICES = [
  'agent3-console-proxy.service',
  'agent3-console.service',
  'agent3-console-obey.service',
] as const;

/** systemd makes it when the console starts, and removes it when that ends. */
export const CONSOLE_RUNTIME = '/run/agent3-console';

/** The system bus, whatever program it is. */
export const BUS = 'dbus.service';

/** The user that is made for the service. */
export const DEFAULT_USER = 'agent3';

/** The user that the console runs as. */
export const CONSOLE_USER = 'agent3-console';

/** The shell of users that nobody logs in as. */
export const NOLOGIN = '/usr/sbin/nologin';
/** Home of the user for reading: nothing is ever there (Debian Policy 9.2.3). */
export const LOOK_HOME = '/nonexistent';
/** By this comment the installer knows the user for reading as its own: one of the same name may be somebody else's. */
export const LOOK_COMMENT = 'Agent3 readonly commands';
