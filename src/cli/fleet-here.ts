import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnvFile } from '../../ops/env-file.ts';
import type { ServerState } from '../fleet/envelope.ts';
import { type Inventory, readInventory, type ServerRecord } from '../fleet/inventory.ts';
import { JoinFault } from '../fleet/join.ts';
import { FleetFileFault } from '../fleet/roots-file.ts';
import { installedSettings } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { InstallFault, readText } from '../install/machine.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { placeHere } from './here.ts';

/** The option of all fleet commands. */
export const DIR_OPTION = [
  '--dir <directory>',
  'directory of the fleet (default: AGENT3_FLEET_DIR, or that of the installed hub)',
] as const;

export interface FleetOptions {
  readonly dir?: string | undefined;
}

/** Returns the directory of the fleet. Exits with 2 when none is known. */
export function fleetDirectory({ dir }: FleetOptions): string {
  const what = 'no agent is installed here: give the directory of the fleet with --dir';
  return placeHere(dir, 'AGENT3_FLEET_DIR', PATHS.fleet) ?? fail(EXIT_USAGE, what);
}

/** Returns true for the installed hub, false for one that was started by hand. */
export function isInstalledFleet(directory: string): boolean {
  return directory === PATHS.fleet && existsSync(PATHS.manifest);
}

/** Exits unless this user may change the fleet: root, or the user of a hub that was started by hand. */
export function requireFleetOwner(directory: string, command: string): void {
  if (isInstalledFleet(directory) && process.geteuid?.() !== 0)
    fail(EXIT_USAGE, `only root may do this: sudo agent3 ${command}`);
}

/** Returns the result of `act`. Exits with the reason when a file, NATS or the installer has a fault. */
export async function attempt<T>(act: () => Promise<T> | T): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof FleetFileFault || error instanceof JoinFault || error instanceof InstallFault)
      fail(EXIT_FAILURE, error.message);
    throw error;
  }
}

/** Returns the server of this name. Exits with a list of the names when it does not exist. */
export function requireServer({ servers }: Inventory, name: string): ServerRecord {
  const names = servers.map((server) => server.name).join(', ') || 'none yet';
  return (
    servers.find((server) => server.name === name) ??
    fail(EXIT_FAILURE, `there is no server ${name}. There are: ${names}`)
  );
}

/** Returns the inventory. Exits with the reason when it cannot be used. */
export function inventoryHere(directory: string): Promise<Inventory> {
  return attempt(() => readInventory(directory));
}

/** What servers say of themselves now, by name; else why that is not known. Throws `FleetFileFault`. */
export async function rollHere(directory: string): Promise<ReadonlyMap<string, ServerState> | string> {
  const seed = fleetKey(directory);
  if (seed === undefined) return 'only root can ask the servers how they are: sudo agent3 fleet list';
  const [{ SigningKey }, { callRoll }] = await Promise.all([
    import('../fleet/keys.ts'),
    import('../fleet/roll-call.ts'),
  ]);
  const logger = { info: () => {}, warn: () => {} };
  const roll = await callRoll({ directory, key: SigningKey.ofSeed(seed), logger });
  return (
    roll ?? 'NATS does not answer, so the state of the servers is unknown. To see why: systemctl status agent3-nats'
  );
}

/** The seed of the hub's key; undefined: this user may not read it. */
function fleetKey(directory: string): string | undefined {
  if (isInstalledFleet(directory)) return installedSettings()['AGENT3_FLEET_KEY'] || undefined;
  const named = processEnvironment()['AGENT3_FLEET_KEY'];
  if (named) return named;
  const text = readText(join(directory, 'hub.env'));
  return text === undefined ? undefined : parseEnvFile(text)['AGENT3_FLEET_KEY'] || undefined;
}

export const certificatePath = (directory: string): string => join(directory, 'cert.pem');
