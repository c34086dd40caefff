import { removeSite } from './caddy.ts';
import { Changes } from './changes.ts';
import { runCommand } from './command.ts';
import { InstallFault } from './fault.ts';
import { BINARY, DEFAULT_USER, PATHS, SERVICE, SLICE, WATCHDOG_TIMER } from './layout.ts';
import { hasSystemd, homeOf, systemIds } from './machine.ts';
import { readManifest } from './manifest.ts';

/** What the owner asked for. */
export interface UninstallOptions {
  /** Settings, sessions, logs and the user go too. */
  readonly purge: boolean;
  readonly dryRun: boolean;
  readonly root: string;
}

const DROP_INS = [PATHS.dropIns, PATHS.commandsDropIns, PATHS.sliceDropIns];

/** Takes the service away; settings, sessions and logs stay unless `purge`. Gives how many changes were made. */
export function uninstall({ purge, dryRun, root }: UninstallOptions, tell: (line: string) => void): number {
  if (root === '/' && process.geteuid?.() !== 0 && !dryRun) {
    throw new InstallFault('the installer has to run as root: sudo agent3 install --uninstall');
  }
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
  const files = new Set([
    ...Object.keys(manifest?.files ?? {}),
    ...(manifest === undefined ? [] : [PATHS.manifest]),
    ...(manifest === undefined || manifest.packaged ? [] : [BINARY]),
    `/etc/systemd/system/multi-user.target.wants/${SERVICE}`,
    `/etc/systemd/system/timers.target.wants/${WATCHDOG_TIMER}`,
  ]);
  for (const path of files) changes.remove(path);
  changes.commit();
  for (const path of DROP_INS) changes.removeEmptyDirectory(path);
  changes.removeTree(PATHS.watchdogState);
  if (purge) purgeAll(changes, root === '/', dryRun);
  if (isLive) {
    runCommand(['systemctl', 'daemon-reload']);
    runCommand(['systemctl', 'reset-failed', SERVICE]);
  }
  return changes.count;
}

function purgeAll(changes: Changes, isLive: boolean, dryRun: boolean): void {
  const isOurUser = isLive && homeOf(DEFAULT_USER) === PATHS.home;
  // It can only be added to, which keeps it from being removed as well.
  if (isLive && !dryRun) runCommand(['chattr', '-a', PATHS.audit]);
  for (const path of [...DROP_INS, PATHS.configuration, PATHS.home, PATHS.logs]) changes.removeTree(path);
  if (isOurUser) changes.command(['userdel', DEFAULT_USER]);
}
