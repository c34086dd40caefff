import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import type { KeysOrder, OrderFile, PasskeyList } from '../console/order.ts';
import { LIST, orderFileSchema } from '../console/order-schema.ts';
import { readRootsFile, writeRootsFile } from './roots-file.ts';

const chainSchema = Type.Object({
  version: Type.Literal(1),
  /** What the first server was given: the list number 0. */
  first: Type.Object(LIST),
  /** Each change since, signed: the first of them has the number 1. */
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
  const { origin, rp_id, passkeys } = links.at(-1)?.order ?? first;
  return { count: links.length, origin, rp_id, passkeys };
}
