import type { KeysFile } from '../console/obey.ts';
import { listDigest } from '../console/order.ts';
import { type PasskeysFile, readPasskeys, signatureOf } from '../console/passkeys.ts';
import { readInventory } from '../fleet/inventory.ts';
import { keyChainPath, latestList, readKeyChain, writeKeyChain } from '../fleet/key-chain.ts';
import { whileLocked } from '../fleet/roots-file.ts';
import { isSame, listOf } from './fleet-keys.ts';

const AGAIN = 'load the page again, and sign what it shows then';

/**
 * Adds a signed change of the console's passkeys to the chain that the hub brings to its servers. Throws the reason where it
 * is not the next one, not the list that root has pinned here, or not signed by a passkey that the servers know.
 */
export async function addLink(directory: string, passkeysFile: string, file: KeysFile): Promise<void> {
  const { order, assertion } = file;
  if (order.hub !== readInventory(directory).hub.key) throw new Error('it is of another hub');
  const chain = readKeyChain(directory);
  if (chain === undefined)
    throw new Error('no server was given passkeys yet: sudo agent3 fleet invite NAME, or fleet passkeys');
  const known = latestList(chain);
  if (order.count !== known.count + 1 || order.previous !== (await listDigest(known)))
    throw new Error(`it does not follow on change number ${known.count} of the passkeys: ${AGAIN}`);
  const pinned = readPasskeys(passkeysFile);
  if (pinned === undefined || !isSame(pinned, order))
    throw new Error(`its passkeys are not those of the console: ${AGAIN}`);
  if (assertion !== undefined && !known.passkeys.some(({ id }) => id === assertion.id))
    throw new Error(
      'the servers do not know the passkey that has signed it. Sign with one that they know; without one: sudo agent3 fleet passkeys',
    );
  const knownFile: PasskeysFile = { ...listOf(known), sessions: [] };
  await signatureOf(order, assertion, knownFile);
  whileLocked(keyChainPath(directory), () => {
    const now = readKeyChain(directory);
    if (now === undefined || latestList(now).count !== known.count)
      throw new Error(`somebody has changed the chain at the same time: ${AGAIN}`);
    writeKeyChain(directory, { ...now, links: [...now.links, file] });
  });
}
