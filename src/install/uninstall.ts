import { existsSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { removeSite } from './caddy.ts';
import { Changes } from './changes.ts';
import { runCommand } from './command.ts';
import { InstallFault } from './fault.ts';
import { type Addition, INVENTORY } from './inventory.ts';
import { BINARY, PATHS, SERVICE, SLICE, WATCHDOG_TIMER } from './layout.ts';
import { removeLock, takeLock } from './lock.ts';
import { hasSystemd, systemIds } from './machine.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { leaveLogGroups, removeUsers } from './users.ts';

/** What the owner asked for. */
export interface UninstallOptions {
  /** Settings, sessions, logs and the user go too. */
  readonly purge: boolean;
  readonly dryRun: boolean;
  readonly root: string;
}

/** Takes the service away; settings, sessions and logs stay unless `purge`. Gives how many changes were made. */
export function uninstall({ purge, dryRun, root }: UninstallOptions, tell: (line: string) => void): number {
  if (root === '/' && process.geteuid?.() !== 0 && !dryRun) {
    throw new InstallFault('the installer has to run as root: sudo agent3 install --uninstall');
  }
  if (root === '/' && !dryRun) takeLock();
  const changes = new Changes(root, dryRun, systemIds, tell);
  const manifest = readManifest(changes.at(PATHS.manifest));
  if (manifest?.packaged === true && purge) {
    throw new InstallFault('this Agent3 came as a package: apt-get purge agent3');
  }
  const isLive = root === '/' && hasSystemd() && !dryRun;
  if (isLive) {
    runCommand(['systemctl', 'disable', '--quiet', '--now', WATCHDOG_TIMER, SERVICE]);
    runCommand(['systemctl', 'stop', 'agent3-watchdog.service', SLICE]);
  }
  if (manifest?.domain !== undefined && manifest.domain !== null) removeSite(changes);
  if (root === '/') leaveLogGroups(changes, manifest);
  for (const path of writtenBy(manifest)) changes.remove(path);
  changes.commit();
  removeLeft(changes, 'uninstall');
  if (purge) purgeAll(changes, root === '/', dryRun, tell);
  if (isLive) {
    runCommand(['systemctl', 'daemon-reload']);
    runCommand(['systemctl', 'reset-failed', SERVICE]);
  }
  if (root === '/' && !dryRun) removeLock();
  return changes.count;
}

/** The files of an installation: those that it wrote itself, and none of the same name that is somebody else's. */
function writtenBy(manifest: Manifest | undefined): string[] {
  const links = INVENTORY.filter(({ kind }) => kind === 'link').map(({ name }) => name);
  if (manifest === undefined) return links;
  return [...Object.keys(manifest.files), PATHS.manifest, ...(manifest.packaged ? [] : [BINARY]), ...links];
}

/** State goes; directories with your own files in them stay until the purge. */
function removeLeft(changes: Changes, by: Addition['goes']): void {
  for (const { kind, name, goes } of INVENTORY) {
    if (kind === 'state' && name !== PATHS.lock) changes.removeTree(name);
    if (name === PATHS.configuration && by === 'purge') removeConfiguration(changes);
    else if (kind === 'directory' && by === 'purge') changes.removeTree(name);
    else if (kind === 'directory' && goes === by) changes.removeEmptyDirectory(name);
  }
}

/** What the agent before was set up with has no other copy: it stays, and the owner is told. */
function removeConfiguration(changes: Changes): void {
  const directory = changes.at(PATHS.configuration);
  const names = existsSync(directory) ? readdirSync(directory) : [];
  for (const name of names.filter((one) => one !== basename(PATHS.saved))) {
    changes.removeTree(`${PATHS.configuration}/${name}`);
  }
  changes.removeEmptyDirectory(PATHS.configuration);
}

function purgeAll(changes: Changes, isLive: boolean, dryRun: boolean, tell: (line: string) => void): void {
  // It can only be added to, which keeps it from being removed as well.
  if (isLive && !dryRun) runCommand(['chattr', '-a', PATHS.audit]);
  removeLeft(changes, 'purge');
  if (existsSync(changes.at(PATHS.saved))) {
    tell(
      `kept: ${PATHS.saved}, the only copy of what the agent before was set up with; when you are sure: rm -r ${PATHS.saved}`,
    );
  }
  if (isLive) removeUsers(changes, tell);
}
