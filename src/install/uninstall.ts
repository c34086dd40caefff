import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { runCommand } from '../../ops/watchdog/command.ts';
import { hasSystemd } from '../linux/systemd.ts';
import { removeSite } from './caddy.ts';
import { Changes } from './changes.ts';
import { type Manifest, readManifest } from './installed.ts';
import { type Addition, hasConsoleSite, INVENTORY } from './inventory.ts';
import {
  BINARY,
  BUS,
  CONSOLE_SERVICES,
  CONSOLE_UNITS,
  HUB_OBEY,
  HUB_OBEY_SERVICE,
  NATS_SERVICE,
  PATHS,
  SERVICE,
  SLICE,
  WATCHDOG_SERVICE,
  WATCHDOG_TIMER,
} from './layout.ts';
import { InstallFault, namesIn, removeLock, takeLock } from './machine.ts';
import { leaveLogGroups, removeUsers } from './users.ts';

/** What the owner asked for. */
export interface UninstallOptions {
  /** Settings, sessions, logs and the user go too. */
  readonly purge: boolean;
  readonly dryRun: boolean;
  readonly root: string;
}

/** Removes the service; settings, sessions and logs stay unless `purge`. Returns how many changes were made. */
export function uninstall({ purge, dryRun, root }: UninstallOptions, print: (line: string) => void): number {
  if (root === '/' && process.geteuid?.() !== 0 && !dryRun) {
    throw new InstallFault('the installer must run as root: sudo agent3 uninstall');
  }
  if (root === '/' && !dryRun) takeLock();
  const changes = new Changes(root, dryRun, print);
  const manifest = readManifest(changes.at(PATHS.manifest));
  if (manifest?.packaged === true && purge) {
    throw new InstallFault('this Agent3 was installed as a package. To remove it: apt-get purge agent3');
  }
  // A unit that no manifest knows is that of the agent before, which its owner has brought back.
  const isOther = manifest === undefined && existsSync(changes.at(PATHS.unit));
  const isLive = root === '/' && hasSystemd() && !dryRun;
  if (isLive && !isOther) {
    runCommand(['systemctl', 'disable', '--quiet', '--now', WATCHDOG_TIMER, SERVICE]);
    runCommand(['systemctl', 'disable', '--quiet', '--now', NATS_SERVICE, HUB_OBEY, ...CONSOLE_UNITS]);
    runCommand(['systemctl', 'stop', HUB_OBEY_SERVICE, ...CONSOLE_SERVICES, WATCHDOG_SERVICE, SLICE]);
  }
  if (manifest?.domain !== undefined && manifest.domain !== null) removeSite(changes, PATHS.caddySite);
  if (hasConsoleSite(manifest ?? {})) removeSite(changes, PATHS.consoleSite);
  if (root === '/') leaveLogGroups(changes, manifest);
  for (const path of isOther ? [] : writtenBy(manifest)) changes.remove(path);
  changes.commit();
  for (const path of named('state')) if (path !== PATHS.lock) changes.removeTree(path);
  if (purge) purgeAll(changes, root === '/', isOther, print);
  const emptied = INVENTORY.filter(({ kind, goes }) => kind === 'directory' && goes === undefined);
  // Those within others come after them in the table.
  for (const { name } of emptied.reverse()) changes.removeEmptyDirectory(name);
  if (isLive) {
    runCommand(['systemctl', 'daemon-reload']);
    // Another user may get the number that a policy of the bus speaks of.
    if (manifest?.user === 'root') runCommand(['systemctl', 'reload', BUS]);
    runCommand(['systemctl', 'reset-failed', SERVICE, 'agent3-*']);
  }
  if (root === '/' && !dryRun) removeLock();
  return changes.count;
}

/** The files of an installation: those that it wrote itself, and none of the same name that is somebody else's. */
function writtenBy(manifest: Manifest | undefined): string[] {
  const links = named('link');
  if (manifest === undefined) return links;
  return [
    ...Object.keys(manifest.files),
    PATHS.manifest,
    PATHS.natsUnit,
    ...(manifest.packaged ? [] : [BINARY]),
    ...links,
  ];
}

function named(kind: Addition['kind']): string[] {
  return INVENTORY.filter((one) => one.kind === kind).map(({ name }) => name);
}

/** Every directory with all that is in it, but what the agent before was set up with: it may have no other copy. */
function purgeAll(changes: Changes, isLive: boolean, isOther: boolean, print: (line: string) => void): void {
  // It can only be added to, which keeps it from being removed as well.
  if (isLive && !changes.dryRun) runCommand(['chattr', '-a', PATHS.audit]);
  const directories = named('directory');
  const outermost = directories.filter((path) => !directories.some((other) => path.startsWith(`${other}/`)));
  const kept = new Set([PATHS.configuration, ...(isOther ? [PATHS.dropIns] : [])] as string[]);
  for (const path of outermost) if (!kept.has(path)) changes.removeTree(path);
  purgeConfiguration(changes, print);
  if (isLive) removeUsers(changes, print);
}

function purgeConfiguration(changes: Changes, print: (line: string) => void): void {
  const names = namesIn(changes.at(PATHS.configuration));
  const saved = basename(PATHS.saved);
  for (const name of names) if (name !== saved) changes.removeTree(`${PATHS.configuration}/${name}`);
  changes.removeEmptyDirectory(PATHS.configuration);
  if (!names.includes(saved)) return;
  const what = 'the files of the agent from before, and the script to go back to it';
  print(`kept: ${PATHS.saved} (${what}). If you do not need it: rm -r ${PATHS.saved}`);
}
