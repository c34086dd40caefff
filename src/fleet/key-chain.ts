import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import type { KeysOrder, OrderFile, PasskeyList } from '../console/order.ts';
import { LIST, orderFileSchema } from '../console/order-schema.ts';
import { readRootsFile, writeRootsFile } from './roots-file.ts';

/** A `NumberedList`. */
export const listSchema = Type.Object({ count: Type.Integer({ minimum: 0 }), ...LIST });

const chainSchema = Type.Object({
  version: Type.Literal(1),
  /** What servers were given first. Its number is 0, and higher where root had to begin anew. */
  first: listSchema,
  /** Each change since, signed: its number is one more. */
  links: Type.Array(orderFileSchema),
});

/** The passkeys of the hub's console as its servers know them, and how they came to be: `keys.json` of a hub. */
export interface KeyChain extends Omit<Static<typeof chainSchema>, 'links'> {
  readonly links: readonly Link[];
}
/** A signed order `keys`. */
export type Link = OrderFile & { readonly order: KeysOrder };

/** A list, and its number in the chain. */
export type NumberedList = PasskeyList & { readonly count: number };

export function keyChainPath(directory: string): string {
  return join(directory, 'keys.json');
}

/** The chain in the directory of a fleet; undefined while no server was given any passkey. Throws `FleetFileFault`. */
export function readKeyChain(directory: string, own?: number): KeyChain | undefined {
  return readRootsFile(keyChainPath(directory), chainSchema, own) as KeyChain | undefined;
}

export function writeKeyChain(directory: string, chain: KeyChain): void {
  writeRootsFile(keyChainPath(directory), `${JSON.stringify(chain, null, 2)}\n`);
}

/** The list that a server has which knows all of the chain. */
export function latestList({ first, links }: KeyChain): NumberedList {
  const { count, origin, rp_id, passkeys } = links.at(-1)?.order ?? first;
  return { count, origin, rp_id, passkeys };
}

/** The links that a server with the list number `count` lacks, in order; undefined: it is from before the chain, and needs its root. */
export function missingLinks({ first, links }: KeyChain, count: number): readonly Link[] | undefined {
  return count < first.count ? undefined : links.filter(({ order }) => order.count > count);
}
