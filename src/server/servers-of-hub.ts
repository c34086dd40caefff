import { canonical, type PasskeyList } from '../console/order.ts';
import { readPasskeys } from '../console/passkeys.ts';
import { ServersView } from '../console/servers-view.ts';
import type { ChangeOfKeys } from '../console/shown-servers.ts';
import type { Hub } from '../fleet/hub.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Config } from '../settings/config.ts';

/** What the console of a hub shows of its servers. */
export function openServersView(hub: Hub, { passkeysFile }: Config, isService: boolean): ServersView {
  const pinned = pinnedIn(passkeysFile, isService ? undefined : process.geteuid?.());
  return new ServersView({
    name: () => hub.hubName,
    servers: () => hub.servers(),
    changeOfKeys: () => changeOf(hub, pinned()),
    ask: (key, args, limits) => hub.askServer(key, 'console', args, limits),
  });
}

/** What a file of passkeys has, read when it has changed; undefined where it cannot be used. */
function pinnedIn(path: string, own: number | undefined): () => PasskeyList | undefined {
  let seen: string | undefined;
  let list: PasskeyList | undefined;
  return () => {
    const now = fileFingerprint(path);
    if (now === seen) return list;
    seen = now;
    try {
      list = readPasskeys(path, own);
    } catch {
      // The sign-in says what is wrong with it.
      list = undefined;
    }
    return list;
  };
}

/** What root has changed since the list that servers are brought; undefined: nothing, or nobody is left to sign it. */
function changeOf({ key, keysOfServers }: Hub, pinned: PasskeyList | undefined): ChangeOfKeys | undefined {
  if (keysOfServers === undefined || pinned === undefined || pinned.passkeys.length === 0) return undefined;
  const [known, now] = [listOf(keysOfServers), listOf(pinned)];
  return canonical(known) === canonical(now) ? undefined : { hub: key, count: keysOfServers.count, known, now };
}

function listOf({ origin, rp_id, passkeys }: PasskeyList): PasskeyList {
  return { origin, rp_id, passkeys };
}
