import { type Static, Type } from '@sinclair/typebox';
import { isSigned, type Order } from '../console/order.ts';
import { visibleLine } from '../lib/visible.ts';
import { HUB_URL, NAME } from './inventory.ts';
import { type PublicKey, parsePublicKey } from './keys.ts';
import { readRootsFile } from './roots-file.ts';

const key = Type.String({ pattern: '^U[A-Z2-7]{55}$' });

/** What a server pins when it joins. */
export const membershipSchema = Type.Object({
  version: Type.Literal(1),
  url: Type.String({ pattern: HUB_URL }),
  /** PEM: NATS on the hub has this certificate and no other. */
  certificate: Type.String({ maxLength: 20_000 }),
  hub_key: key,
  /** The hub's name, and its name for this server. */
  hub: Type.String({ pattern: NAME }),
  name: Type.String({ pattern: NAME }),
  key,
  /** The most that the hub may do here. */
  profile: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' }),
  joined_at: Type.Integer(),
});
export type Membership = Static<typeof membershipSchema>;

/** Reads `hub.json`; undefined: this server has left its hub. Throws `FleetFileFault`. */
export function readMembership(path: string, own?: number): Membership | undefined {
  return readRootsFile(path, membershipSchema, own);
}

/** Returns the pinned key of the hub. Throws where the text is not a key. */
export function hubKeyOf({ hub_key }: Membership): PublicKey {
  const key = parsePublicKey(hub_key);
  if (key === undefined) throw new Error('the key of the hub is not a public key');
  return key;
}

/**
 * Returns why an order of the hub is not for this server. Undefined where it is. A hub that was taken over can show a person
 * any name for a key, so a signature has to be over the name that this server pinned when it joined.
 */
export function addresseeFault(order: Order, { key, name }: Membership): string | undefined {
  const { server, server_name: signed } = order;
  if (server !== key) return 'it is for another server';
  if (!isSigned(order) || signed === name) return undefined;
  if (signed === undefined) return 'it was signed without the name of a server: load the page of the console again';
  return `it was signed for ${visibleLine(signed)}, and this server is ${name}: the hub has shown a wrong name`;
}
