import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import type { Inventory } from './inventory.ts';
import { type NatsPlace, natsConfig, type OpenInvite } from './nats-config.ts';
import { FleetFileFault, readRootsFile, writeRootsFile } from './roots-file.ts';

const placeSchema = Type.Object({
  listen: Type.String(),
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  certificate: Type.String(),
  privateKey: Type.String(),
  pidFile: Type.String(),
  /** The group that NATS reads its files by; null: it runs as who started it. */
  group: Type.Union([Type.Integer(), Type.Null()]),
});

const invitesSchema = Type.Array(
  Type.Object({
    id: Type.String(),
    name: Type.String(),
    guestKey: Type.String(),
    hostKey: Type.String(),
    until: Type.Integer(),
  }),
);

/** An invitation as a file has it, until it is over (milliseconds since the epoch). */
export interface KeptInvite extends OpenInvite {
  readonly name: string;
  readonly until: number;
}

/** What NATS of a fleet is set up with. */
export interface NatsSetup extends NatsPlace {
  readonly group: number | null;
}

const paths = (directory: string) => ({
  setup: join(directory, 'nats.json'),
  invites: join(directory, 'invites.json'),
  config: join(directory, 'nats.conf'),
});

export function configPath(directory: string): string {
  return paths(directory).config;
}

export function writeNatsSetup(directory: string, setup: NatsSetup): void {
  writeRootsFile(paths(directory).setup, `${JSON.stringify(setup, null, 2)}\n`);
}

export function readNatsSetup(directory: string): NatsSetup {
  const setup = readRootsFile(paths(directory).setup, placeSchema);
  if (setup === undefined) throw new FleetFileFault(`there is no ${paths(directory).setup}: run agent3 fleet init`);
  return setup;
}

/** The invitations that still wait. */
export function openInvites(directory: string): KeptInvite[] {
  const kept = readRootsFile(paths(directory).invites, invitesSchema) ?? [];
  return kept.filter(({ until }) => until > Date.now());
}

/** Call it while the inventory is locked. */
export function writeInvites(directory: string, invites: readonly KeptInvite[]): void {
  writeRootsFile(paths(directory).invites, `${JSON.stringify(invites)}\n`, 0o600);
}

/** Writes the configuration that fits an inventory and the invitations that wait. */
export function writeNatsConfig(directory: string, inventory: Inventory): void {
  const setup = readNatsSetup(directory);
  const text = natsConfig(inventory, setup, openInvites(directory));
  writeRootsFile(configPath(directory), text, setup.group === null ? 0o600 : 0o640, setup.group ?? undefined);
}

/** Has the NATS server of a fleet read its configuration again. Throws `FleetFileFault` where it does not run. */
export function reloadNats(directory: string): void {
  const { pidFile } = readNatsSetup(directory);
  const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : Number.NaN;
  // The file is that of the user of NATS: no other program gets the signal.
  if (!Number.isSafeInteger(pid) || pid <= 1 || programOf(pid) !== 'nats-server')
    throw new FleetFileFault(`the NATS server of the fleet does not run (${pidFile}): systemctl start agent3-nats`);
  process.kill(pid, 'SIGHUP');
}

function programOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
