import {
  changeInventory,
  type Inventory,
  inventoryPath,
  readInventory,
  type ServerRecord,
  withLabels,
} from '../fleet/inventory.ts';
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
} from './fleet-here.ts';

interface ListOptions extends FleetOptions {
  readonly json?: true | undefined;
}

/** Prints the servers of the inventory. */
export async function listServers(options: ListOptions): Promise<void> {
  const { hub, servers } = await inventoryHere(fleetDirectory(options));
  if (options.json === true) {
    process.stdout.write(`${visibleJson({ hub, servers: servers.map(shown) })}\n`);
    return;
  }
  if (servers.length === 0) process.stdout.write('no servers yet: sudo agent3 fleet invite NAME\n');
  const width = Math.max(...servers.map(({ name }) => name.length), 8);
  for (const { name, profile, labels } of servers)
    process.stdout.write(`${name.padEnd(width)}  ${visibleLine(profile.padEnd(10))}  ${describeLabels(labels)}\n`);
}

/** Prints one server. */
export async function showServer(name: string, options: ListOptions): Promise<void> {
  const server = requireServer(await inventoryHere(fleetDirectory(options)), name);
  const { profile, joined, labels, fingerprint } = shown(server);
  process.stdout.write(
    options.json === true
      ? `${visibleJson(shown(server))}\n`
      : `name         ${name}\nlabels       ${describeLabels(labels)}\nprofile      ${visibleLine(profile)}: the most that the hub may do there\nfingerprint  ${fingerprint}\njoined       ${joined}\n`,
  );
}

/** Sets labels and takes them away. */
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

/** Takes a server out of the inventory, and ends its connection. */
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
  process.stdout.write(`removed ${name}: the hub reaches it no more. On the server: sudo agent3 leave\n`);
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
