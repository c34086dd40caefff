import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import natsUnit from '../../ops/agent3-nats.service' with { type: 'text' };
import { runCommand } from '../../ops/watchdog/command.ts';
import { isMoved } from '../console/order.ts';
import { replaceReadable } from '../lib/files.ts';
import { changeSettings } from './installed.ts';
import { HUB_OBEY, HUB_OBEY_SERVICE, NATS_SERVICE, NOLOGIN, PATHS, SERVICE } from './layout.ts';
import { InstallFault, mustRun, systemIds, unitIs, userExists } from './machine.ts';
import { serviceState } from './service.ts';
import type { Situation } from './survey.ts';

const NATS_SERVER = '/usr/sbin/nats-server';
/** The unit sets its directory. */
export const NATS_PID_FILE = '/run/agent3-nats/nats.pid';
/** The unit of Debian's package, which is masked, because it would listen on all addresses. */
const OTHER_UNIT = 'nats-server.service';
const INSTALL_SECONDS = 600;

/** Installs `nats-server` if needed and returns its version. Throws `InstallFault` when that fails. */
export function ensureNatsServer(print: (line: string) => void): string {
  if (!existsSync(NATS_SERVER)) installNats(print);
  if (!userExists('nats'))
    throw new InstallFault(
      `NATS runs as the user nats, which is not there. To make it: useradd --system --user-group --no-create-home --shell ${NOLOGIN} nats`,
    );
  return mustRun([NATS_SERVER, '--version']).trim();
}

function installNats(print: (line: string) => void): void {
  if (!existsSync('/usr/bin/apt-get'))
    throw new InstallFault(`${NATS_SERVER} is missing: install NATS (https://nats.io), then run this again`);
  print('installing nats-server with apt-get');
  // Masked, so that its package does not start it.
  mustRun(['systemctl', 'mask', '--quiet', OTHER_UNIT]);
  try {
    if (
      runCommand(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'nats-server'], INSTALL_SECONDS)
        .code !== 0
    ) {
      mustRun(['apt-get', 'update', '-qq'], INSTALL_SECONDS);
      mustRun(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'nats-server'], INSTALL_SECONDS);
    }
  } finally {
    mustRun(['systemctl', 'unmask', '--quiet', OTHER_UNIT]);
    runCommand(['systemctl', 'disable', '--quiet', '--now', OTHER_UNIT]);
  }
}

/** Returns the group by which NATS reads its files. */
export function natsGroup(): number {
  return systemIds.gid('nats');
}

/** Writes the unit, and starts NATS now and at boot. Throws `InstallFault` with its output when it does not run. */
export function startNats(): void {
  replaceReadable(PATHS.natsUnit, natsUnit, 'on disk');
  mustRun(['systemctl', 'daemon-reload']);
  mustRun(['systemctl', 'enable', '--quiet', NATS_SERVICE]);
  mustRun(['systemctl', 'restart', NATS_SERVICE]);
}

/** Changes settings of the installed service. An empty value turns one off. Throws the system's error. */
export function setInstalledSettings(changes: Readonly<Record<string, string>>): void {
  const text = changeSettings(readFileSync(PATHS.settings, 'utf8'), changes);
  const temporary = `${PATHS.settings}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  mustRun(['mv', '-f', temporary, PATHS.settings]);
}

/** Restarts the agent, unless that would end commands; then returns their number. Throws `InstallFault`. */
export function restartAgent(): number {
  const { waitedFor, isActive } = serviceState();
  if (!isActive || waitedFor > 0) return waitedFor;
  mustRun(['systemctl', 'restart', SERVICE]);
  return 0;
}

/** Starts NATS of a hub, and what root of a server obeys its hub with: `uninstall` stops both. NATS that has a new unit restarts. */
export function startFleet({ options, changes, input: { isHub, isMember } }: Situation): void {
  const units = [...(isHub === true ? [NATS_SERVICE] : []), ...(isMember === true ? [HUB_OBEY] : [])];
  for (const unit of units) {
    const disable = () => void runCommand(['systemctl', 'disable', '--quiet', '--now', unit]);
    if (!unitIs('enabled', unit)) changes.command(['systemctl', 'enable', '--quiet', unit], disable);
    if (!options.start) continue;
    if (!unitIs('active', unit)) changes.command(['systemctl', 'start', unit]);
    else if (unit === NATS_SERVICE && changes.wrote(PATHS.natsUnit)) changes.command(['systemctl', 'restart', unit]);
  }
}

/** Makes root obey the orders of the hub, now and after a boot. Throws `InstallFault`. */
export function enableHubOrders(): void {
  if (!existsSync(PATHS.hubObeyPathUnit) && !existsSync(PACKAGED_UNIT))
    throw new InstallFault(`${HUB_OBEY} is missing: run agent3 install, then this again`);
  mustRun(['systemctl', 'enable', '--quiet', '--now', HUB_OBEY]);
}

/** The path of the unit in the package. */
const PACKAGED_UNIT = `/usr/lib/systemd/system/${HUB_OBEY}`;

/** Makes root stop obeying the hub. */
export function disableHubOrders(): void {
  runCommand(['systemctl', 'disable', '--quiet', '--now', HUB_OBEY]);
  runCommand(['systemctl', 'stop', HUB_OBEY_SERVICE]);
  // Commands of the agent's user may change what is there meanwhile: rm(1) follows no link then either.
  const moved = readdirSync(PATHS.home)
    .filter(isMoved)
    .map((name) => join(PATHS.home, name));
  runCommand(['rm', '-rf', '--', PATHS.hubOrders, ...moved]);
}
