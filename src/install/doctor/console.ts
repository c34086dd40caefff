import { existsSync, readFileSync, statSync } from 'node:fs';
import { ConsoleFault } from '../../console/fault.ts';
import { pageFiles } from '../../console/page-files.ts';
import { readPasskeys } from '../../console/passkeys.ts';
import { MIN_KEY_CHARS } from '../../lib/limits.ts';
import { installedConsoleSettings, type Manifest } from '../installed.ts';
import { additions, hasConsole, hasConsoleSite, type Owner } from '../inventory.ts';
import { CONSOLE_UNITS, CONSOLE_USER, PACKAGED_PAGE, PATHS } from '../layout.ts';
import { groupOf, systemIds, unitIs } from '../machine.ts';
import { bad, type Found, good } from './finding.ts';

const ASK_MS = 20_000;

/** The owner's console: can it be reached, and can nobody but its owner give orders. */
export async function consoleFinding(manifest: Manifest): Promise<Found> {
  if (!hasConsole(manifest)) return good('not installed (to add it: agent3 install --console)');
  const own = settingsFault() ?? directoryFault(manifest) ?? pageFault(manifest) ?? unitFault();
  if (own !== undefined) return own;
  const origin = installedConsoleSettings()['AGENT3_CONSOLE_ORIGIN'] || manifest.console || '';
  const passkeys = pinned(origin);
  if (typeof passkeys !== 'number') return passkeys;
  if (!(await answersHello(origin))) {
    return bad('it does not answer', 'journalctl -u agent3-console -u agent3-console-proxy -n 20');
  }
  if (hasConsoleSite(manifest) && origin === manifest.console && !(await isServed(origin))) {
    return bad(`${origin} does not show it`, 'agent3 install; systemctl status caddy; check that its port is open');
  }
  const many = passkeys === 0 ? 'no passkey yet (to add one: agent3 console link)' : `passkeys: ${passkeys}`;
  return good(`${origin} answers; ${many}`);
}

function settingsFault(): Found | undefined {
  const stat = statSync(PATHS.consoleSettings, { throwIfNoEntry: false });
  const key = installedConsoleSettings()['AGENT3_CONSOLE_KEY'] ?? '';
  if (stat === undefined || key.length < MIN_KEY_CHARS) {
    return bad(`${PATHS.consoleSettings} has no key`, 'agent3 install makes one');
  }
  if (stat.uid === 0 && (stat.mode & 0o077) === 0) return undefined;
  const repair = `chown root:root ${PATHS.consoleSettings}; chmod 600 ${PATHS.consoleSettings}; for a new key remove its line, then: agent3 install`;
  return bad(`other users can read the key in ${PATHS.consoleSettings}`, repair);
}

/** Anybody else who could write there could leave orders in the owner's name. */
function directoryFault({ user, ...manifest }: Manifest): Found | undefined {
  const owner: Owner = { user, group: groupOf(user) };
  for (const { name, access } of additions({ ...manifest, user, staged: false }, 'directory')) {
    const wanted = access?.(owner);
    if (wanted?.owner !== CONSOLE_USER) continue;
    const stat = statSync(name, { throwIfNoEntry: false });
    const isRight =
      stat?.uid === systemIds.uid(CONSOLE_USER) &&
      stat.gid === systemIds.gid(owner.group) &&
      (stat.mode & 0o7777) === wanted.mode;
    if (!isRight) return bad(`${name} is missing, or others than the console may write to it`, 'agent3 install');
  }
  return undefined;
}

/** What the page shows is what is signed. */
function pageFault({ packaged }: Manifest): Found | undefined {
  const directory = packaged ? PACKAGED_PAGE : PATHS.page;
  const wrong = Object.entries(pageFiles()).find(([name, { bytes }]) => {
    const path = `${directory}/${name}`;
    return !existsSync(path) || !readFileSync(path).equals(bytes);
  });
  if (wrong === undefined) return undefined;
  const repair = packaged ? 'apt-get install --reinstall agent3' : 'agent3 install';
  return bad(`${directory}/${wrong[0]} is missing, or is from another version`, repair);
}

function unitFault(): Found | undefined {
  for (const unit of CONSOLE_UNITS) {
    const missing = (['active', 'enabled'] as const).find((state) => !unitIs(state, unit));
    if (missing !== undefined) return bad(`${unit} is not ${missing}`, `systemctl enable --now ${unit}`);
  }
  return undefined;
}

/** How many passkeys count at the URL. */
function pinned(origin: string): number | Found {
  try {
    const file = readPasskeys(PATHS.passkeys);
    const count = file?.passkeys.length ?? 0;
    if (file === undefined || count === 0 || file.origin === origin) return count;
    return bad(
      `its passkeys (${count}) are for ${file.origin}, but the console is at ${origin}`,
      'pin new ones: agent3 console link',
    );
  } catch (error) {
    if (error instanceof ConsoleFault)
      return bad(error.message, 'repair it, or remove it and pin passkeys again: agent3 console link');
    throw error;
  }
}

/** Through the socket and the server, which is started for it. */
async function answersHello(origin: string): Promise<boolean> {
  const init = { method: 'POST', body: '{}', unix: PATHS.consoleSocket, signal: AbortSignal.timeout(ASK_MS) };
  return (await statusOf(`http://${new URL(origin).host}/api/hello`, init)) === 200;
}

/** The page and the way to the server, through Caddy on this machine, whatever its certificate. */
async function isServed(origin: string): Promise<boolean> {
  const { hostname, host, port } = new URL(origin);
  const at = `https://127.0.0.1:${port || 443}`;
  const init = {
    headers: { host },
    tls: { serverName: hostname, rejectUnauthorized: false },
    signal: AbortSignal.timeout(ASK_MS),
  };
  const api = { ...init, method: 'POST', body: '{}' };
  return (await statusOf(`${at}/`, init)) === 200 && (await statusOf(`${at}/api/hello`, api)) === 200;
}

async function statusOf(url: string, init: BunFetchRequestInit): Promise<number | undefined> {
  try {
    const response = await fetch(url, init);
    await response.body?.cancel();
    return response.status;
  } catch {
    // Nobody there, or not in time.
    return undefined;
  }
}
