import {
  changeInventory,
  type Inventory,
  inventoryPath,
  readInventory,
  type ServerRecord,
  withLabels,
} from '../fleet/inventory.ts';
import { latestList, readKeyChain } from '../fleet/key-chain.ts';
import { fingerprintOf, parsePublicKey } from '../fleet/keys.ts';
import { reloadNats, writeNatsConfig } from '../fleet/nats-files.ts';
import { whileLocked } from '../fleet/roots-file.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import {
  attempt,
  type FleetOptions,
  fleetDirectory,
  inventoryHere,
  requireFleetOwner,
  requireServer,
  rollHere,
} from './fleet-here.ts';

interface ListOptions extends FleetOptions {
  readonly json?: true | undefined;
}

/** Prints the servers of the inventory, and how they are now. */
export async function listServers(options: ListOptions): Promise<void> {
  const directory = fleetDirectory(options);
  const { hub, servers } = await inventoryHere(directory);
  const look = await lookAt(directory);
  const rows = servers.map((server) => ({ ...shown(server), ...look(server.name) }));
  if (options.json === true) {
    process.stdout.write(`${visibleJson({ hub, servers: rows })}\n`);
    return;
  }
  if (servers.length === 0)
    process.stdout.write('there are no servers yet. To add one: sudo agent3 fleet invite NAME\n');
  const width = Math.max(...servers.map(({ name }) => name.length), 8);
  for (const { name, profile, labels, state, ...row } of rows)
    process.stdout.write(
      `${name.padEnd(width)}  ${state.padEnd(11)}  ${visibleLine(profile.padEnd(10))}  ${[describeLabels(labels), ...remarksOn(row)].join('  ')}\n`,
    );
}

/** Prints one server. */
export async function showServer(name: string, options: ListOptions): Promise<void> {
  const directory = fleetDirectory(options);
  const server = requireServer(await inventoryHere(directory), name);
  const row = { ...shown(server), ...(await lookAt(directory))(name) };
  if (options.json === true) {
    process.stdout.write(`${visibleJson(row)}\n`);
    return;
  }
  const { profile, joined, labels, fingerprint, state, version, os = '-' } = row;
  const lines = [
    ['name', name],
    ['state', [state, ...remarksOn(row)].join(', ')],
    ['labels', describeLabels(labels)],
    ['profile', `${visibleLine(profile)} (the most that the hub may do there)`],
    ...(version === undefined ? [] : [['version', `${visibleLine(version)}, on ${visibleLine(os)}`] as const]),
    ['fingerprint', fingerprint],
    ['joined', joined],
  ];
  for (const [what = '', text] of lines) process.stdout.write(`${what.padEnd(13)}${text}\n`);
}

/** The state of a server; `unknown` when it could not be asked. */
interface Look {
  readonly state: 'connected' | 'unreachable' | 'unknown';
  readonly frozen?: boolean;
  readonly version?: string;
  readonly os?: string;
  /** Whether it has the current list of passkeys of the hub's console. */
  readonly passkeys?: 'current' | 'behind' | 'none';
}

/** Asks all servers. Prints on standard error why it could not. */
async function lookAt(directory: string): Promise<(name: string) => Look> {
  const roll = await attempt(() => rollHere(directory));
  if (typeof roll === 'string') {
    process.stderr.write(`agent3: ${roll}\n`);
    return () => ({ state: 'unknown' });
  }
  const chain = await attempt(() => readKeyChain(directory));
  const last = chain === undefined ? undefined : latestList(chain).count;
  return (name) => {
    const said = roll.get(name);
    if (said === undefined) return { state: 'unreachable' };
    const { frozen, version, os, keys } = said;
    if (last === undefined) return { state: 'connected', frozen, version, os };
    return { state: 'connected', frozen, version, os, passkeys: describeKeys(keys, last) };
  };
}

function describeKeys(keys: number | undefined, last: number): 'current' | 'behind' | 'none' {
  if (keys === undefined) return 'none';
  return keys < last ? 'behind' : 'current';
}

function remarksOn({ frozen, passkeys }: Pick<Look, 'frozen' | 'passkeys'>): string[] {
  return [
    ...(frozen === true ? ['frozen'] : []),
    ...(passkeys === 'behind' ? ['passkeys behind'] : []),
    ...(passkeys === 'none' ? ['no passkeys'] : []),
  ];
}

/** Sets and removes labels. */
export async function labelServer(name: string, changes: readonly string[], options: FleetOptions): Promise<void> {
  const directory = fleetDirectory(options);
  requireFleetOwner(directory, `fleet label ${name} …`);
  requireServer(await inventoryHere(directory), name);
  const changed = await attempt(() =>
    changeInventory(directory, (inventory) => ({
      ...inventory,
      servers: inventory.servers.map((one) =>
        one.name === name ? { ...one, labels: withLabels(one.labels, changes) } : one,
      ),
    })),
  );
  process.stdout.write(`${name}  ${describeLabels(requireServer(changed, name).labels)}\n`);
}

/** Removes a server from the inventory and ends its connection. */
export async function removeServer(name: string, options: FleetOptions): Promise<void> {
  const directory = fleetDirectory(options);
  requireFleetOwner(directory, `fleet remove ${name}`);
  requireServer(await inventoryHere(directory), name);
  await attempt(() => {
    const without = (inventory: Inventory): Inventory => ({
      ...inventory,
      servers: inventory.servers.filter((one) => one.name !== name),
    });
    changeInventory(directory, without);
    whileLocked(inventoryPath(directory), () => writeNatsConfig(directory, readInventory(directory)));
    reloadNats(directory);
  });
  process.stdout.write(`removed ${name}, which the hub no longer reaches. On the server, run: sudo agent3 leave\n`);
}

function shown({ name, key, labels, profile, joined_at }: ServerRecord) {
  const parsed = parsePublicKey(key);
  const fingerprint = parsed === undefined ? '' : fingerprintOf(parsed);
  return { name, labels, profile, key, fingerprint, joined: new Date(joined_at).toISOString() };
}

function describeLabels(labels: ServerRecord['labels']): string {
  return (
    Object.entries(labels)
      .map(([label, value]) => `${label}=${value}`)
      .join(' ') || '-'
  );
}
