import { canonical, type PasskeyList } from '../console/order.ts';
import {
  type KeyChain,
  keyChainPath,
  latestList,
  type NumberedList,
  readKeyChain,
  writeKeyChain,
} from '../fleet/key-chain.ts';
import { whileLocked } from '../fleet/roots-file.ts';
import { visibleLine } from '../lib/visible.ts';
import { consoleHere, pinnedHere } from './console-here.ts';

/** What servers know of the passkeys of this hub's console. */
export interface KnownKeys {
  /** What a server is given now: the end of the chain. */
  readonly list: NumberedList;
  /** The console has other passkeys by now, and nobody has signed that. */
  readonly isBehind: boolean;
}

/**
 * The passkeys that a server is given now; undefined: the console has none. Without a chain, one begins with what the
 * console has. It begins anew where none of the passkeys that servers know is there to sign the change. Throws `FleetFileFault`.
 */
export function keysForServers(directory: string): KnownKeys | undefined {
  const pinned = pinnedHere(consoleHere());
  const now = pinned === undefined || pinned.passkeys.length === 0 ? undefined : listOf(pinned);
  return whileLocked(keyChainPath(directory), () => {
    const chain = readKeyChain(directory);
    const known = chain === undefined ? undefined : latestList(chain);
    if (now === undefined) return known && { list: known, isBehind: true };
    if (known !== undefined && canSign(known, now)) return { list: known, isBehind: !isSame(known, now) };
    const first = { count: known === undefined ? 0 : known.count + 1, ...now };
    writeKeyChain(directory, { version: 1, first, links: [] } satisfies KeyChain);
    return { list: first, isBehind: false };
  });
}

/** What to know where servers know other passkeys than the console has. */
export function describeUnsigned({ list }: KnownKeys): string {
  const names = list.passkeys.map(({ name }) => visibleLine(name)).join(', ');
  return `the servers know other passkeys than the console has: ${names}. To sign the change: open the console with one of them`;
}

export function listOf({
  origin,
  rp_id,
  passkeys,
}: PasskeyList): PasskeyList & { passkeys: PasskeyList['passkeys'][number][] } {
  return { origin, rp_id, passkeys: [...passkeys] };
}

/** Whether two lists are of the same passkeys, at the same place. */
export function isSame(a: PasskeyList, b: PasskeyList): boolean {
  return canonical(listOf(a)) === canonical(listOf(b));
}

/** Whether a passkey that servers know is there to sign what has changed. */
function canSign(known: PasskeyList, now: PasskeyList): boolean {
  const isThere = ({ id }: { readonly id: string }): boolean => now.passkeys.some((one) => one.id === id);
  return known.origin === now.origin && known.rp_id === now.rp_id && known.passkeys.some(isThere);
}
