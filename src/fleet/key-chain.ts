import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import type { KeysOrder, OrderFile, PasskeyList } from '../console/order.ts';
import { LIST, orderFileSchema } from '../console/order-schema.ts';
import { readRootsFile, writeRootsFile } from './roots-file.ts';

/** A `NumberedList`. */
export const listSchema = Type.Object({ count: Type.Integer({ minimum: 0 }), ...LIST });

const chainSchema = Type.Object({
  version: Type.Literal(1),
  /** The first list that servers received. Its number is 0, or higher where root started a new chain. */
  first: listSchema,
  /** Each change since, signed: its number is one more. */
  links: Type.Array(orderFileSchema),
});

/** The lists of passkeys that the hub's console has had, with the order for each change: `keys.json` of a hub. */
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

/** Reads the chain in the directory of a fleet. Undefined while no server has received a passkey. Throws `FleetFileFault`. */
export function readKeyChain(directory: string, own?: number): KeyChain | undefined {
  return readRootsFile(keyChainPath(directory), chainSchema, own) as KeyChain | undefined;
}

export function writeKeyChain(directory: string, chain: KeyChain): void {
  writeRootsFile(keyChainPath(directory), `${JSON.stringify(chain, null, 2)}\n`);
}

/** Returns the list at the end of the chain. */
export function latestList({ first, links }: KeyChain): NumberedList {
  const { count, origin, rp_id, passkeys } = links.at(-1)?.order ?? first;
  return { count, origin, rp_id, passkeys };
}

/** Returns the links that a server with list number `count` lacks, in order. Undefined where its list is older than the chain: only its root can replace it. */
export function missingLinks({ first, links }: KeyChain, count: number): readonly Link[] | undefined {
  return count < first.count ? undefined : links.filter(({ order }) => order.count > count);
}
