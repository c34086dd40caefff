import { statSync } from 'node:fs';
import { PasskeysFault, readPasskeys } from '../../console/passkeys.ts';
import { MIN_KEY_CHARS } from '../../lib/limits.ts';
import { installedConsoleSettings, type Manifest } from '../installed.ts';
import { additions, hasConsole, type Owner } from '../inventory.ts';
import { CONSOLE_UNITS, CONSOLE_USER, PATHS } from '../layout.ts';
import { groupOf, systemIds, unitIs } from '../machine.ts';
import { bad, type Found, good } from './finding.ts';

/** The owner's console: can it be reached, and can nobody but its owner give orders. */
export function consoleFinding(manifest: Manifest): Found {
  if (!hasConsole(manifest)) return good('left out at the installation; agent3 install --console adds it');
  const own = settingsFault() ?? directoryFault(manifest) ?? unitFault();
  if (own !== undefined) return own;
  const origin = installedConsoleSettings()['AGENT3_CONSOLE_ORIGIN'] || manifest.console || '';
  const passkeys = pinned(origin);
  if (typeof passkeys !== 'number') return passkeys;
  const many = passkeys === 0 ? 'no passkey yet: agent3 console link' : `${passkeys} passkeys`;
  return good(`${origin}; ${many}`);
}

function settingsFault(): Found | undefined {
  const stat = statSync(PATHS.consoleSettings, { throwIfNoEntry: false });
  const key = installedConsoleSettings()['AGENT3_CONSOLE_KEY'] ?? '';
  if (stat === undefined || key.length < MIN_KEY_CHARS) {
    return bad(`${PATHS.consoleSettings} has no key`, 'agent3 install makes one');
  }
  if (stat.uid === 0 && (stat.mode & 0o077) === 0) return undefined;
  const repair = `chown root:root ${PATHS.consoleSettings}; chmod 600 ${PATHS.consoleSettings}; for a new key remove its line, then: agent3 install`;
  return bad(`${PATHS.consoleSettings}: others can read the key`, repair);
}

/** Whoever else could write there could give orders in the owner's name. */
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
    if (!isRight) return bad(`${name} is not the console's alone to write, or is missing`, 'agent3 install');
  }
  return undefined;
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
      `its ${count} passkeys belong to ${file.origin}, and it is at ${origin}`,
      'pin new ones: agent3 console link',
    );
  } catch (error) {
    if (error instanceof PasskeysFault)
      return bad(error.message, 'mend it, or remove it and pin anew: agent3 console link');
    throw error;
  }
}
