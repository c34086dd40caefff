import { canonical, type PasskeyList } from '../console/order.ts';
import {
  type KeyChain,
  keyChainPath,
  latestList,
  type NumberedList,
  readKeyChain,
  writeKeyChain,
} from '../fleet/key-chain.ts';
import { FleetFileFault, whileLocked } from '../fleet/roots-file.ts';
import { PATHS } from '../install/layout.ts';
import { visibleLine } from '../lib/visible.ts';
import { processEnvironment } from '../settings/environment.ts';
import { type ConsoleHere, consoleHere, goodPasskeys, pinnedHere } from './console-here.ts';

/** What servers know of the passkeys of this hub's console. */
export interface KnownKeys {
  /** What a server is given now: the end of the chain. */
  readonly list: NumberedList;
  /** The console has other passkeys by now, and nobody has signed that. */
  readonly isBehind: boolean;
}

/**
 * The passkeys that a server is given now; undefined: none is good at the console. Without a chain, one begins with what the
 * console has. It begins again where none of the passkeys that servers know is there to sign the change. Throws `FleetFileFault`.
 */
export function keysForServers(directory: string): KnownKeys | undefined {
  const good = goodPasskeys(consoleHere());
  const now = good && listOf(good);
  return whileLocked(keyChainPath(directory), () => {
    const chain = readKeyChain(directory);
    const known = chain === undefined ? undefined : latestList(chain);
    if (now === undefined) return undefined;
    if (known !== undefined && canSign(known, now)) return { list: known, isBehind: !isSame(known, now) };
    const first = { count: known === undefined ? 0 : known.count + 1, ...now };
    writeKeyChain(directory, { version: 1, first, links: [] } satisfies KeyChain);
    return { list: first, isBehind: false };
  });
}

/** What to know where servers know other passkeys than the console has. */
export function describeUnsigned({ list }: Pick<KnownKeys, 'list'>): string {
  const names = list.passkeys.map(({ name }) => visibleLine(name)).join(', ');
  return `the servers of the fleet accept these passkeys until they know the change: ${names}. To sign it, open the console with one of them`;
}

/** After root has changed the passkeys of the console, says what that means for the servers of the fleet. */
export function noteServers(here: ConsoleHere): void {
  const note = describeChange(here);
  if (note !== undefined) process.stdout.write(`Note: ${note}\n`);
}

/** Undefined: this is no hub, or servers know the same. */
function describeChange(here: ConsoleHere): string | undefined {
  const directory = processEnvironment()['AGENT3_FLEET_DIR'] || (here.isInstalled ? PATHS.fleet : undefined);
  try {
    const chain = directory === undefined ? undefined : readKeyChain(directory);
    const now = pinnedHere(here);
    if (chain === undefined || now === undefined) return undefined;
    const list = latestList(chain);
    if (isSame(list, now)) return undefined;
    if (canSign(list, now)) return describeUnsigned({ list });
    return 'no passkey that the servers of the fleet know is left, so nobody can sign this change for them. To pin the new list: sudo agent3 fleet passkeys, then on each server: sudo agent3 join --passkeys';
  } catch (error) {
    if (error instanceof FleetFileFault) return error.message;
    throw error;
  }
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
