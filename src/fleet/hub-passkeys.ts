import { type Static, Type } from '@sinclair/typebox';
import type { PasskeyList } from '../console/order.ts';
import { LIST } from '../console/order-schema.ts';
import type { Signature } from '../console/passkeys.ts';
import { visibleLine } from '../lib/visible.ts';
import type { NumberedList } from './key-chain.ts';
import { readRootsFile, writeRootsFile } from './roots-file.ts';

const pinnedSchema = Type.Object({
  ...LIST,
  /** As in every file of passkeys: nobody. */
  sessions: Type.Array(Type.Never()),
  /** The number of this list in the chain of the hub. */
  count: Type.Integer({ minimum: 0 }),
  /** The order that brought it, for the record; undefined: root has pinned it. */
  signed: Type.Optional(Type.Unknown()),
});
export type HubPasskeys = Static<typeof pinnedSchema>;

/** What to do where no passkey is pinned. */
export const NOBODY_PINNED =
  'no passkey of the hub is pinned on this server. On the hub: sudo agent3 fleet passkeys, here: sudo agent3 join --passkeys';

/** The file with the passkeys of the hub's console that count on a server: `hub-passkeys.json`, in the directory of `hub.json`. */
export function hubPasskeysPath(hubFile: string): string {
  return `${hubFile.replace(/\.json$/, '')}-passkeys.json`;
}

/** The time of the hub's last order that root obeyed: a file in the directory of `hub.json`. */
export function orderedPath(hubFile: string): string {
  return `${hubFile.replace(/\.json$/, '')}-ordered.json`;
}

/** Reads the passkeys that are pinned for a hub. Undefined where there are no such passkeys. Throws `FleetFileFault`. */
export function readHubPasskeys(hubFile: string, own?: number): HubPasskeys | undefined {
  return readRootsFile(hubPasskeysPath(hubFile), pinnedSchema, own);
}

/** Pins a list, in place of what was there. Throws `FleetFileFault`. */
export function writeHubPasskeys(hubFile: string, list: NumberedList, signed?: Signature): void {
  const { count, origin, rp_id, passkeys } = list;
  const file = { count, origin, rp_id, passkeys, sessions: [], ...(signed !== undefined && { signed }) };
  writeRootsFile(hubPasskeysPath(hubFile), `${JSON.stringify(file, null, 2)}\n`);
}

/** The passkeys of a list, for a person who compares them. */
export function describeList({ origin, passkeys }: PasskeyList): string {
  if (passkeys.length === 0) return 'no passkeys';
  const shown = passkeys.map(({ name, fingerprint }) => ({
    name: visibleLine(name),
    fingerprint: visibleLine(fingerprint),
  }));
  const width = Math.max(...shown.map(({ name }) => name.length));
  return [
    `passkeys of ${visibleLine(origin)}`,
    ...shown.map((one) => `  ${one.name.padEnd(width)}  ${one.fingerprint}`),
  ].join('\n');
}
