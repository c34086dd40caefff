import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import natsUnit from '../../ops/agent3-nats.service' with { type: 'text' };
import { runCommand } from '../../ops/watchdog/command.ts';
import { replaceReadable } from '../lib/files.ts';
import { changeSettings } from './installed.ts';
import { HUB_OBEY, HUB_OBEY_SERVICE, NATS_SERVICE, PATHS, SERVICE } from './layout.ts';
import { InstallFault, mustRun, systemIds } from './machine.ts';
import { serviceState } from './service.ts';

const NATS_SERVER = '/usr/sbin/nats-server';
/** The unit creates its directory. */
export const NATS_PID_FILE = '/run/agent3-nats/nats.pid';
/** The unit of Debian's package: it would listen to everybody, and is kept from starting. */
const OTHER_UNIT = 'nats-server.service';
const INSTALL_SECONDS = 600;

/** What `nats-server` says of its version, once it is installed. Throws `InstallFault` where that fails. */
export function ensureNatsServer(print: (line: string) => void): string {
  if (!existsSync(NATS_SERVER)) installNats(print);
  return mustRun([NATS_SERVER, '--version']).trim();
}

function installNats(print: (line: string) => void): void {
  if (!existsSync('/usr/bin/apt-get'))
    throw new InstallFault(`${NATS_SERVER} is missing: install NATS (https://nats.io), and run this again`);
  print('installing nats-server, with apt-get');
  // Masked, it is not started by its own package.
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

/** The group that NATS reads its files by. */
export function natsGroup(): number {
  return systemIds.gid('nats');
}

/** Writes the unit, and starts NATS now and at boot. Throws `InstallFault` with what it said where it does not run. */
export function startNats(): void {
  replaceReadable(PATHS.natsUnit, natsUnit, 'on disk');
  mustRun(['systemctl', 'daemon-reload']);
  mustRun(['systemctl', 'enable', '--quiet', NATS_SERVICE]);
  mustRun(['systemctl', 'restart', NATS_SERVICE]);
}

/** Changes settings of the installed service; an empty value switches one off. Throws the system's error. */
export function setInstalledSettings(changes: Readonly<Record<string, string>>): void {
  const text = changeSettings(readFileSync(PATHS.settings, 'utf8'), changes);
  const temporary = `${PATHS.settings}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  mustRun(['mv', '-f', temporary, PATHS.settings]);
}

/** Restarts the agent, unless that would end commands: then returns how many. Throws `InstallFault`. */
export function restartAgent(): number {
  const { waitedFor, isActive } = serviceState();
  if (!isActive || waitedFor > 0) return waitedFor;
  mustRun(['systemctl', 'restart', SERVICE]);
  return 0;
}

/** Takes the unit away. */
export function removeNats(): void {
  runCommand(['systemctl', 'disable', '--quiet', '--now', NATS_SERVICE]);
  rmSync(PATHS.natsUnit, { force: true });
}

/** Has root obey what the hub orders, now and after a boot. Throws `InstallFault`. */
export function enableHubOrders(): void {
  if (!existsSync(PATHS.hubObeyPathUnit) && !existsSync(PACKAGED_UNIT))
    throw new InstallFault(`${HUB_OBEY} is missing: run agent3 install, then this again`);
  mustRun(['systemctl', 'enable', '--quiet', '--now', HUB_OBEY]);
}

/** Where the package has the unit. */
const PACKAGED_UNIT = `/usr/lib/systemd/system/${HUB_OBEY}`;

/** Root obeys no hub any more. */
export function disableHubOrders(): void {
  runCommand(['systemctl', 'disable', '--quiet', '--now', HUB_OBEY]);
  runCommand(['systemctl', 'stop', HUB_OBEY_SERVICE]);
  rmSync(PATHS.hubOrders, { recursive: true, force: true });
}
