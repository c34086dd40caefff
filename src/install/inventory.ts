import { dirname } from 'node:path';
import { LOG_GROUPS, LOOK_USER } from '../lib/look-user.ts';
import type { Access } from './changes.ts';
import type { Manifest } from './installed.ts';
import {
  BINARY,
  CONSOLE_UNITS,
  CONSOLE_USER,
  DEFAULT_USER,
  HUB_OBEY_LINK,
  PACKAGED_BINARY,
  PATHS,
  SERVICE,
  WATCHDOG_TIMER,
} from './layout.ts';

/** What decides whether an entry is on a server. */
export interface Shape {
  readonly user: string;
  readonly watchdog: Manifest['watchdog'];
  readonly packaged: boolean;
  readonly staged: boolean;
  readonly domain: string | null;
  /** The URL of the owner's console; null: left out, undefined: from before there was one. */
  readonly console?: string | null | undefined;
  /** Whether this agent is the hub of a fleet. */
  readonly isHub?: boolean;
}

/** Whether the owner's console is a part of it. */
export function hasConsole({ console }: Pick<Shape, 'console'>): boolean {
  return typeof console === 'string';
}

/** Whether Caddy serves the console. */
export function hasConsoleSite({ console }: Pick<Shape, 'console'>): boolean {
  return console?.startsWith('https://') === true;
}

/** Who owns a directory: the user of the agent and its group are known at the installation. */
export interface Owner {
  readonly user: string;
  readonly group: string;
}

/** One thing that an installation adds to a server. */
export interface Addition {
  readonly kind: 'user' | 'membership' | 'program' | 'directory' | 'file' | 'link' | 'line' | 'state' | 'written';
  /** An absolute path; of a user its name; of a membership the user's. */
  readonly name: string;
  readonly what: string;
  /** When it is there, for the owner; undefined: always. */
  readonly when?: string;
  readonly isThere?: (shape: Shape) => boolean;
  /** What takes it away; undefined: the removal. */
  readonly goes?: 'purge' | 'you';
  /** The Debian package brings it, and dpkg removes it. */
  readonly shipped?: true;
  readonly access?: (owner: Owner) => Access;
  /** The agent reads it, or the files in it, also when another user ran the agent before. */
  readonly isRead?: true;
}

const rootAgent = { when: '`--user root`', isThere: ({ user }: Shape) => user === 'root' };
const ownUser = { when: 'by default', isThere: ({ user }: Shape) => user === DEFAULT_USER };
const timer = { when: 'unless `--no-watchdog`', isThere: ({ watchdog }: Shape) => watchdog === 'timer' };
const image = { when: '`--root DIR`', isThere: ({ staged }: Shape) => staged };
const hub = { when: '`agent3 fleet init`', isThere: ({ isHub }: Shape) => isHub === true };
const domain = { when: '`--domain NAME`', isThere: (shape: Shape) => shape.domain !== null };
const packaged = { when: 'the package', isThere: (shape: Shape) => shape.packaged };
const bundled = { when: 'the bundle', isThere: (shape: Shape) => !shape.packaged };
const console = { when: 'unless `--no-console`', isThere: hasConsole };
const consoleSite = { when: 'a console with `--domain` or `--console-domain`', isThere: hasConsoleSite };
const bundledPage = {
  when: 'the bundle, with the console',
  isThere: (shape: Shape) => hasConsole(shape) && !shape.packaged,
};
const later = { isThere: () => false };
const ofAgent = (mode: number) => ({ access: ({ user, group }: Owner): Access => ({ mode, owner: user, group }) });

const open = (): Access => ({ mode: 0o755 });
/** Root writes, the agent reads. */
const rootWrites = ({ group }: Owner): Access => ({ mode: 0o750, owner: 'root', group });

/** What a command makes later. */
const byCommand = (name: string, what: string, when: string): Addition => {
  return { kind: 'written', name, what, goes: 'purge', when, ...later };
};

const CONSOLE_DIRECTORIES = (
  [
    [PATHS.console, 0o750, 'what the console keeps'],
    [PATHS.orders, 0o2750, 'orders for the agent'],
    [PATHS.rootOrders, 0o2750, 'orders for root'],
    [PATHS.links, 0o2750, 'what a phone answered to a link'],
    [PATHS.subscriptions, 0o2750, 'devices that are notified'],
  ] as const
).map(
  // What is made in them has the group of the agent, which the console is not in.
  ([name, mode, what]): Addition => ({
    kind: 'directory',
    name,
    what,
    goes: 'purge',
    access: ({ group }) => ({ mode, owner: CONSOLE_USER, group }),
    ...console,
  }),
);

/** All that is added to a server: installer, `doctor`, removal, Debian package and `ops/docs/install.md` go by this table. */
export const INVENTORY: readonly Addition[] = [
  { kind: 'user', name: DEFAULT_USER, what: 'the user of the agent and its commands', goes: 'purge', ...ownUser },
  {
    kind: 'user',
    name: LOOK_USER,
    what: 'the user that commands of `readonly` and `look` run as',
    goes: 'purge',
    ...rootAgent,
  },
  { kind: 'user', name: CONSOLE_USER, what: "the user of the owner's console", goes: 'purge', ...console },
  {
    kind: 'membership',
    name: DEFAULT_USER,
    what: `its commands read the logs: groups ${LOG_GROUPS.map((group) => `\`${group}\``).join(', ')}`,
    when: '`--look-logs`',
    ...later,
  },
  { kind: 'program', name: BINARY, what: 'the executable', ...bundled },
  { kind: 'program', name: PACKAGED_BINARY, what: 'the executable', shipped: true, ...packaged },
  { kind: 'directory', name: PATHS.configuration, what: 'the configuration', goes: 'purge', access: open },
  { kind: 'written', name: PATHS.settings, what: "settings and token, root's alone", goes: 'purge' },
  { kind: 'written', name: PATHS.manifest, what: 'what the installer wrote' },
  {
    kind: 'written',
    name: PATHS.tokens,
    what: 'tokens, as hashes, and who may sign in',
    goes: 'purge',
    when: '`agent3 token create`, `agent3 connect`',
    isRead: true,
    ...later,
  },
  byCommand(`${PATHS.tokens}.lock`, 'one change of the tokens at a time', '`agent3 token`, `agent3 connect`'),
  { kind: 'directory', name: PATHS.profiles, what: 'your profiles', goes: 'purge', access: open, isRead: true },
  {
    kind: 'directory',
    name: PATHS.approvals,
    what: 'decisions on commands that waited, and `frozen`, the last [freezes](access.md#freeze)',
    goes: 'purge',
    access: rootWrites,
  },
  { kind: 'written', name: PATHS.consoleSettings, what: "its key and URL, root's alone", goes: 'purge', ...console },
  {
    kind: 'written',
    name: PATHS.passkeys,
    what: "the owner's passkeys",
    goes: 'purge',
    when: '`agent3 console link`',
    ...later,
  },
  { kind: 'written', name: PATHS.doctor, what: 'what `doctor` found last', goes: 'purge', ...later },
  byCommand(PATHS.fleet, 'of a hub: its servers, and what NATS is set up with', '`agent3 fleet init`'),
  byCommand(PATHS.hub, 'of a server: the hub that it joined', '`agent3 join`'),
  byCommand(PATHS.hubPasskeys, "passkeys of the hub's console that count here", '`agent3 join`'),
  byCommand(PATHS.hubOrdered, "the time of the hub's last order to root", 'an order of the hub'),
  {
    kind: 'directory',
    name: PATHS.newFiles,
    what: 'new versions of files that you changed',
    goes: 'purge',
    when: 'after such an upgrade',
    ...later,
  },
  {
    kind: 'written',
    name: PATHS.saved,
    what: 'what the agent before was set up with, and the way back',
    goes: 'you',
    when: 'after a [takeover](moving-from-flask.md)',
    ...later,
  },
  { kind: 'directory', name: PATHS.home, what: 'home of the user `agent3`', goes: 'purge', ...ofAgent(0o750) },
  { kind: 'directory', name: PATHS.sessions, what: 'sessions', goes: 'purge', ...ofAgent(0o700) },
  byCommand(PATHS.hubOrders, 'what the hub orders, for root', 'an order of the hub'),
  ...CONSOLE_DIRECTORIES,
  {
    kind: 'directory',
    name: dirname(PATHS.page),
    what: 'the page of the console, below it',
    access: open,
    ...bundledPage,
  },
  { kind: 'directory', name: PATHS.page, what: 'the page of the console', access: open, ...bundledPage },
  // Not the service's own: root writes there too, and must not be led elsewhere by a link.
  { kind: 'directory', name: PATHS.logs, what: 'logs', goes: 'purge', access: rootWrites },
  {
    kind: 'written',
    name: PATHS.logFile,
    what: 'one line per request; rotated daily without losing a line, 7 kept',
    goes: 'purge',
  },
  byCommand(`${PATHS.sessions}/.grants`, 'the states of sign-ins: sealed, without tokens', '`agent3 connect`'),
  {
    kind: 'written',
    name: PATHS.audit,
    what: 'the record; `audit.jsonl.head` notes where it ends, `audit.jsonl.synced` what is surely on the disk',
    goes: 'purge',
  },
  {
    kind: 'written',
    name: `${PATHS.logs}/record-until-…`,
    what: 'a record that was sealed with a key that is gone',
    when: '`AGENT3_AUDIT_KEY` was lost',
    goes: 'purge',
    ...later,
  },
  { kind: 'written', name: `${PATHS.logs}/watchdog.log`, what: 'one line per check', goes: 'purge', ...later },
  { kind: 'file', name: PATHS.unit, what: 'the service', shipped: true },
  { kind: 'directory', name: PATHS.dropIns, what: 'your `systemctl edit`, and:' },
  { kind: 'file', name: PATHS.userDropIn, what: 'its user, and what that one may not do' },
  { kind: 'file', name: PATHS.commandsUnit, what: 'what commands run in', shipped: true },
  { kind: 'directory', name: PATHS.commandsDropIns, what: 'its drop-ins' },
  { kind: 'file', name: PATHS.commandsUserDropIn, what: 'its user' },
  { kind: 'file', name: PATHS.commandsLimitsDropIn, what: 'the limits for all commands together' },
  { kind: 'file', name: PATHS.slice, what: 'the agent and its commands together', shipped: true },
  { kind: 'directory', name: PATHS.sliceDropIns, what: 'its drop-ins' },
  { kind: 'file', name: PATHS.sliceLimitsDropIn, what: 'the limits for both' },
  { kind: 'file', name: PATHS.watchdogService, what: 'a check of the agent', shipped: true, ...timer },
  { kind: 'file', name: PATHS.watchdogTimer, what: 'starts it every 5 minutes', shipped: true, ...timer },
  {
    kind: 'file',
    name: PATHS.watchdogCron,
    what: 'the same by cron',
    when: 'systemd runs no timers',
    isThere: ({ watchdog }) => watchdog === 'cron',
  },
  {
    kind: 'link',
    name: `/etc/systemd/system/multi-user.target.wants/${SERVICE}`,
    what: 'starts the agent at boot',
  },
  {
    kind: 'link',
    name: `/etc/systemd/system/timers.target.wants/${WATCHDOG_TIMER}`,
    what: 'starts the timer at boot',
    ...timer,
  },
  { kind: 'file', name: PATHS.consoleAgentDropIn, what: 'the agent obeys the console', ...console },
  { kind: 'file', name: PATHS.consoleSocketUnit, what: 'the way to the console', shipped: true, ...console },
  { kind: 'directory', name: PATHS.consoleSocketDropIns, what: 'its drop-ins', ...consoleSite },
  { kind: 'file', name: PATHS.consoleSocketDropIn, what: 'the group of Caddy', ...consoleSite },
  { kind: 'file', name: PATHS.consoleSite, what: 'the site of the console', ...consoleSite },
  { kind: 'file', name: PATHS.consoleProxyUnit, what: 'leads from socket to console', shipped: true, ...console },
  { kind: 'file', name: PATHS.consoleUnit, what: 'the console, while somebody uses it', shipped: true, ...console },
  { kind: 'file', name: PATHS.obeyPathUnit, what: 'sees orders for root', shipped: true, ...console },
  { kind: 'file', name: PATHS.obeyUnit, what: 'root obeys them', shipped: true, ...console },
  {
    kind: 'link',
    name: `/etc/systemd/system/sockets.target.wants/${CONSOLE_UNITS[0]}`,
    what: 'the socket at boot',
    ...console,
  },
  {
    kind: 'link',
    name: `/etc/systemd/system/paths.target.wants/${CONSOLE_UNITS[1]}`,
    what: 'the orders at boot',
    ...console,
  },
  {
    kind: 'file',
    name: PATHS.hubObeyPathUnit,
    what: 'of a server of a fleet: sees what the hub orders',
    shipped: true,
  },
  { kind: 'file', name: PATHS.hubObeyUnit, what: 'root obeys that', shipped: true },
  { kind: 'link', name: HUB_OBEY_LINK, what: 'the same at boot', when: '`agent3 join`', ...later },
  { kind: 'file', name: PATHS.natsUnit, what: 'NATS of a hub', ...hub },
  { kind: 'file', name: PATHS.busPolicy, what: 'what `look` may say on the system bus: it only asks', ...rootAgent },
  { kind: 'file', name: PATHS.logrotate, what: 'rotation', shipped: true },
  { kind: 'file', name: PATHS.sysusers, what: 'has the users made at the first boot', ...image },
  { kind: 'file', name: PATHS.tmpfiles, what: 'has the directories made at the first boot', ...image },
  { kind: 'written', name: PATHS.caddySite, what: 'the site', ...domain },
  { kind: 'line', name: PATHS.caddyfile, what: 'your own file: one `import` line', ...domain },
  {
    kind: 'state',
    name: PATHS.agentSocketDirectory,
    what: 'where the agent shows its state; gone after a boot',
    ...console,
  },
  { kind: 'state', name: PATHS.consoleSocket, what: 'where Caddy reaches the console; gone after a boot', ...console },
  { kind: 'state', name: PATHS.answers, what: "root's answers; gone after a boot", ...console },
  { kind: 'state', name: PATHS.watchdogState, what: 'what the watchdog remembers; gone after a boot' },
  { kind: 'state', name: PATHS.views, what: 'what sandboxes see; gone after a boot', ...rootAgent },
  { kind: 'state', name: PATHS.lock, what: 'one installer at a time; gone after a boot' },
];

/** The entries of some kinds that an installation of this shape has. */
export function additions(shape: Shape, ...kinds: readonly Addition['kind'][]): Addition[] {
  return INVENTORY.filter(({ kind, isThere }) => kinds.includes(kind) && (isThere?.(shape) ?? true));
}
