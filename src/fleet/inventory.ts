import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { type PublicKey, parsePublicKey, tagOf } from './keys.ts';
import { FleetFileFault, readRootsFile, whileLocked, writeRootsFile } from './roots-file.ts';

/** Of a server, and of the hub itself. */
export const NAME = '^[a-z0-9][a-z0-9.-]{0,62}$';
const LABEL = '^[A-Za-z0-9_.-]{1,63}$';
const MOST_LABELS = 20;
export const MOST_SERVERS = 1000;

const key = Type.String({ pattern: '^U[A-Z2-7]{55}$' });
/** Where servers connect to. */
export const HUB_URL = '^tls://[^\\s/@?#"]{1,255}:\\d{1,5}$';

const serverSchema = Type.Object({
  name: Type.String({ pattern: NAME }),
  key,
  labels: Type.Record(Type.String({ pattern: LABEL }), Type.String({ pattern: LABEL }), {
    additionalProperties: false,
    maxProperties: MOST_LABELS,
  }),
  /** The profile that it lets its hub use at most, as it said when it joined. */
  profile: Type.String({ maxLength: 64 }),
  /** Milliseconds since the epoch. */
  joined_at: Type.Integer(),
});
export type ServerRecord = Static<typeof serverSchema>;

const inventorySchema = Type.Object({
  version: Type.Literal(1),
  hub: Type.Object({
    name: Type.String({ pattern: NAME }),
    key,
    url: Type.String({ pattern: HUB_URL }),
    /** Where NATS is for the hub itself, which need not reach its own public name. */
    local_url: Type.Optional(Type.String({ pattern: HUB_URL })),
  }),
  servers: Type.Array(serverSchema, { maxItems: MOST_SERVERS }),
});
/** What `servers.json` holds: the names and labels are the hub's. */
export type Inventory = Static<typeof inventorySchema>;

export function inventoryPath(directory: string): string {
  return join(directory, 'servers.json');
}

/** Reads the inventory in a directory. Throws `FleetFileFault`, also where the file is missing. */
export function readInventory(directory: string, own?: number): Inventory {
  const path = inventoryPath(directory);
  const inventory = readRootsFile(path, inventorySchema, own);
  if (inventory === undefined) throw new FleetFileFault(`there is no ${path}: run agent3 fleet init`);
  const fault = inventoryFault(inventory);
  if (fault !== undefined) throw new FleetFileFault(`${path}: ${fault}`);
  return inventory;
}

/** Returns why an inventory is invalid, such as two servers of one name, key or tag. */
export function inventoryFault({ hub, servers }: Inventory): string | undefined {
  const names = new Set([hub.name]);
  const tags = new Set<string>();
  for (const { name, key: text } of servers) {
    const parsed = parsePublicKey(text);
    if (parsed === undefined) return `the key of ${name} is not a public key`;
    if (names.has(name)) return `two servers have the name ${name}`;
    if (tags.has(tagOf(parsed))) return `the key of ${name} begins like that of another server`;
    names.add(name);
    tags.add(tagOf(parsed));
  }
  return undefined;
}

export function writeInventory(directory: string, inventory: Inventory): void {
  writeRootsFile(inventoryPath(directory), `${JSON.stringify(inventory, null, 2)}\n`);
}

/** Reads the inventory, and writes what `change` makes of it, one process at a time. Throws `FleetFileFault`, and what `change` throws. */
export function changeInventory(
  directory: string,
  change: (inventory: Inventory) => Inventory,
  own?: number,
): Inventory {
  return whileLocked(inventoryPath(directory), () => {
    const changed = change(readInventory(directory, own));
    const fault = inventoryFault(changed);
    if (fault !== undefined) throw new FleetFileFault(fault);
    writeInventory(directory, changed);
    return changed;
  });
}

/** The key of a record that was read. */
export function keyOf({ key: text }: Pick<ServerRecord, 'key'>): PublicKey {
  const parsed = parsePublicKey(text);
  if (parsed === undefined) throw new FleetFileFault('a key of the inventory is not a public key');
  return parsed;
}

/** Reads `role=web`; a name alone with `-` at its end takes the label away. Throws `FleetFileFault`. */
export function parseLabel(text: string): { readonly name: string; readonly value: string | undefined } {
  const [, gone] = /^([A-Za-z0-9_.-]{1,63})-$/.exec(text) ?? [];
  if (gone !== undefined && !text.includes('=')) return { name: gone, value: undefined };
  const [, name, value] = /^([A-Za-z0-9_.-]{1,63})=([A-Za-z0-9_.-]{1,63})$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new FleetFileFault(
      `a label is name=value, each of up to 63 letters, digits, _ . and -, not ${text.slice(0, 140)}`,
    );
  return { name, value };
}

/** Labels with changes. Throws `FleetFileFault` where they are too many. */
export function withLabels(labels: ServerRecord['labels'], changes: readonly string[]): ServerRecord['labels'] {
  const next = new Map(Object.entries(labels));
  for (const { name, value } of changes.map(parseLabel)) {
    if (value === undefined) next.delete(name);
    else next.set(name, value);
  }
  if (next.size > MOST_LABELS) throw new FleetFileFault(`a server has at most ${MOST_LABELS} labels`);
  return Object.fromEntries(next);
}
