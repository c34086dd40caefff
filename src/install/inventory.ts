import { basename } from 'node:path';
import { LOG_GROUPS, LOOK_USER } from '../lib/look-user.ts';
import type { Access } from './changes.ts';
import type { Manifest } from './installed.ts';
import { BINARY, DEFAULT_USER, PACKAGED_BINARY, PATHS, SERVICE, WATCHDOG_TIMER } from './layout.ts';

/** What decides whether an entry is on a server. */
export interface Shape {
  readonly user: string;
  readonly watchdog: Manifest['watchdog'];
  readonly packaged: boolean;
  readonly staged: boolean;
  readonly domain: string | null;
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
  /** For the owner, in the README. */
  readonly what: string;
  /** When it is there, for the owner; undefined: always. */
  readonly when?: string;
  readonly isThere?: (shape: Shape) => boolean;
  /** What takes it away. */
  readonly goes: 'uninstall' | 'purge' | 'you';
  /** The Debian package brings it, and dpkg removes it. */
  readonly shipped?: true;
  readonly access?: (owner: Owner) => Access;
  /** The agent reads it, or the files in it, also when another user ran the agent before. */
  readonly isRead?: true;
}

const rootAgent = { when: '`--user root`', isThere: ({ user }: Shape) => user === 'root' };
const ownUser = { when: 'by default', isThere: ({ user }: Shape) => user === DEFAULT_USER };
const timer = { when: 'but with `--no-watchdog`', isThere: ({ watchdog }: Shape) => watchdog === 'timer' };
const image = { when: '`--root DIR`', isThere: ({ staged }: Shape) => staged };
const domain = { when: '`--domain NAME`', isThere: (shape: Shape) => shape.domain !== null };
const packaged = { when: 'the package', isThere: (shape: Shape) => shape.packaged };
const bundled = { when: 'the bundle', isThere: (shape: Shape) => !shape.packaged };
const later = { isThere: () => false };

const open = (): Access => ({ mode: 0o755 });
/** Root writes, the agent reads. */
const rootWrites = ({ group }: Owner): Access => ({ mode: 0o750, owner: 'root', group });

/**
 * Everything that is added to a server: the installer makes its directories and files from this table, `doctor` looks
 * for what is missing, the removal and the Debian package take away what it names, and the README shows it.
 */
export const INVENTORY: readonly Addition[] = [
  { kind: 'user', name: DEFAULT_USER, what: 'the user of the agent and its commands', goes: 'purge', ...ownUser },
  { kind: 'user', name: LOOK_USER, what: 'the user that `readonly` commands run as', goes: 'purge', ...rootAgent },
  {
    kind: 'membership',
    name: DEFAULT_USER,
    what: `its commands read the logs: groups ${LOG_GROUPS.map((group) => `\`${group}\``).join(', ')}`,
    when: '`--look-logs`',
    goes: 'uninstall',
    ...later,
  },
  { kind: 'program', name: BINARY, what: 'the executable', goes: 'uninstall', ...bundled },
  { kind: 'program', name: PACKAGED_BINARY, what: 'the executable', goes: 'uninstall', shipped: true, ...packaged },
  { kind: 'directory', name: PATHS.configuration, what: 'the configuration', goes: 'purge', access: open },
  { kind: 'written', name: PATHS.settings, what: "settings and token, root's alone", goes: 'purge' },
  { kind: 'written', name: PATHS.manifest, what: 'what the installer wrote', goes: 'uninstall' },
  {
    kind: 'written',
    name: PATHS.tokens,
    what: 'tokens, as hashes',
    goes: 'purge',
    when: '`agent3 token create`',
    isRead: true,
    ...later,
  },
  { kind: 'directory', name: PATHS.profiles, what: 'your profiles', goes: 'purge', access: open, isRead: true },
  {
    kind: 'directory',
    name: PATHS.approvals,
    what: 'decisions on commands that waited',
    goes: 'purge',
    access: rootWrites,
  },
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
    when: 'after a [takeover](#move-from-the-flask-agent)',
    ...later,
  },
  {
    kind: 'directory',
    name: PATHS.home,
    what: 'home of the user `agent3`',
    goes: 'purge',
    access: ({ user, group }) => ({ mode: 0o750, owner: user, group }),
  },
  {
    kind: 'directory',
    name: PATHS.sessions,
    what: 'sessions',
    goes: 'purge',
    access: ({ user, group }) => ({ mode: 0o700, owner: user, group }),
  },
  // Not the service's own: root writes there too, and must not be led elsewhere by a link.
  { kind: 'directory', name: PATHS.logs, what: 'logs', goes: 'purge', access: rootWrites },
  {
    kind: 'written',
    name: PATHS.logFile,
    what: 'one line per request; rotated daily without losing a line, 7 kept',
    goes: 'purge',
  },
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
  { kind: 'file', name: PATHS.unit, what: 'the service', goes: 'uninstall', shipped: true },
  { kind: 'directory', name: PATHS.dropIns, what: 'your `systemctl edit`, and:', goes: 'uninstall' },
  { kind: 'file', name: PATHS.userDropIn, what: 'its user, and what that one may not do', goes: 'uninstall' },
  { kind: 'file', name: PATHS.commandsUnit, what: 'what commands run in', goes: 'uninstall', shipped: true },
  { kind: 'directory', name: PATHS.commandsDropIns, what: 'its drop-ins', goes: 'uninstall' },
  { kind: 'file', name: PATHS.commandsUserDropIn, what: 'its user', goes: 'uninstall' },
  { kind: 'file', name: PATHS.commandsCeilingDropIn, what: 'the limits for all commands together', goes: 'uninstall' },
  { kind: 'file', name: PATHS.slice, what: 'the agent and its commands together', goes: 'uninstall', shipped: true },
  { kind: 'directory', name: PATHS.sliceDropIns, what: 'its drop-ins', goes: 'uninstall' },
  { kind: 'file', name: PATHS.sliceCeilingDropIn, what: 'the limits for both', goes: 'uninstall' },
  {
    kind: 'file',
    name: PATHS.watchdogService,
    what: 'a check of the agent',
    goes: 'uninstall',
    shipped: true,
    ...timer,
  },
  {
    kind: 'file',
    name: PATHS.watchdogTimer,
    what: 'starts it every 5 minutes',
    goes: 'uninstall',
    shipped: true,
    ...timer,
  },
  {
    kind: 'file',
    name: PATHS.watchdogCron,
    what: 'the same by cron',
    goes: 'uninstall',
    when: 'systemd runs no timers',
    isThere: ({ watchdog }) => watchdog === 'cron',
  },
  {
    kind: 'link',
    name: `/etc/systemd/system/multi-user.target.wants/${SERVICE}`,
    what: 'starts the agent at boot',
    goes: 'uninstall',
  },
  {
    kind: 'link',
    name: `/etc/systemd/system/timers.target.wants/${WATCHDOG_TIMER}`,
    what: 'starts the timer at boot',
    goes: 'uninstall',
    ...timer,
  },
  { kind: 'file', name: PATHS.logrotate, what: 'rotation', goes: 'uninstall', shipped: true },
  { kind: 'file', name: PATHS.sysusers, what: 'has the users made at the first boot', goes: 'uninstall', ...image },
  {
    kind: 'file',
    name: PATHS.tmpfiles,
    what: 'has the directories made at the first boot',
    goes: 'uninstall',
    ...image,
  },
  { kind: 'written', name: PATHS.caddySite, what: 'the site', goes: 'uninstall', ...domain },
  { kind: 'line', name: PATHS.caddyfile, what: 'your own file: one `import` line', goes: 'uninstall', ...domain },
  {
    kind: 'state',
    name: PATHS.watchdogState,
    what: 'what the watchdog remembers; gone after a boot',
    goes: 'uninstall',
  },
  { kind: 'state', name: PATHS.views, what: 'what sandboxes see; gone after a boot', goes: 'uninstall', ...rootAgent },
  { kind: 'state', name: PATHS.lock, what: 'one installer at a time; gone after a boot', goes: 'uninstall' },
];

/** The entries of some kinds that an installation of this shape has. */
export function additions(shape: Shape, ...kinds: readonly Addition['kind'][]): Addition[] {
  return INVENTORY.filter(({ kind, isThere }) => kinds.includes(kind) && (isThere?.(shape) ?? true));
}

/**
 * What the purge of the package removes, beside the configuration, of which a part stays, and the drop-ins of the agent,
 * which may be those of the agent before: the rest dpkg knows.
 */
export function purgedPaths(): string[] {
  return INVENTORY.filter(({ kind }) => kind === 'directory' || kind === 'state')
    .map(({ name }) => name)
    .filter(
      (name) => name !== PATHS.dropIns && name !== PATHS.configuration && !name.startsWith(`${PATHS.configuration}/`),
    );
}

/** The names of the units that the package brings. */
export function shippedUnits(): string[] {
  return INVENTORY.filter(({ name, shipped }) => shipped === true && /\.(service|timer|slice)$/.test(name)).map(
    ({ name }) => basename(name),
  );
}

/** The table of the README. */
export function inventoryTable(): string {
  const rows = INVENTORY.map(({ kind, name, what, when = 'always', goes }) => {
    const word = kind === 'user' ? 'user ' : kind === 'membership' ? 'groups of ' : '';
    return `| ${word}\`${name}\` | ${what} | ${when} | ${goes} |`;
  });
  return ['| added | what | when | goes with |', '| --- | --- | --- | --- |', ...rows].join('\n');
}
