import { GrantKey } from '../access/grant.ts';
import { readProfiles } from '../access/profile-files.ts';
import { changeTokens } from '../access/token-file.ts';
import { grantsDirectory, readState } from '../connect/grant-state.ts';
import type { TokenOrder } from '../console/order.ts';
import type { Signature } from '../console/passkeys.ts';
import { isBy } from '../console/signed-tokens.ts';
import { obeyTokenOrder, type TokenOrderDeps } from '../console/token-orders.ts';
import { likelyOwner } from '../lib/files.ts';
import { groupOf, ownerOf, sessionsHere } from './here.ts';
import { nameFault, profileFault } from './token-here.ts';

/** Changes the file of tokens as a signed order of the console says. Throws with the reason. */
export function changeByOrder(path: string, order: TokenOrder, signature: Signature, secret: string | undefined): void {
  const key = secret === undefined ? undefined : new GrantKey(secret);
  const deps: TokenOrderDeps = {
    key,
    nameFault,
    // Its unit may not become another user. The doctor reports profiles that the agent cannot read.
    profileFault: (name) =>
      profileFault(name, (directory) =>
        readProfiles(directory, undefined, directory === undefined ? undefined : likelyOwner(directory)),
      ),
    arrivalOf: (grant) => {
      const state = key && readState(grantsDirectory(sessionsHere()), key, grant);
      if (typeof state !== 'object' || state.generation === 0 || state.ended !== null) return undefined;
      const { client_name: client, redirect_uri: redirect, address } = state;
      return { client, redirect, address };
    },
    now: Date.now(),
  };
  changeTokens(path, (tokens) => obeyTokenOrder(tokens, order, signature, deps), {
    group: groupOf(path),
    own: ownerOf(path),
    orderedAt: order.at,
  });
}

/** Ends the tokens that removed passkeys made or kept. Returns their names. Throws `TokenFileFault`. */
export function endTokensBy(path: string, passkeys: ReadonlySet<string>): string[] {
  const ended: string[] = [];
  changeTokens(
    path,
    (tokens) =>
      tokens.filter((token) => {
        if (!isBy(token, passkeys)) return true;
        ended.push(token.name);
        return false;
      }),
    { group: groupOf(path), own: ownerOf(path) },
  );
  return ended;
}
