import { existsSync } from 'node:fs';
import { TokenFileFault } from '../access/token-file.ts';
import { PATHS } from '../install/layout.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { processEnvironment } from '../settings/environment.ts';
import { type ConsoleHere, consoleHere, pinHere, pinnedHere, requireOwner } from './console-here.ts';
import { endTokensBy } from './console-tokens.ts';
import { EXIT_FAILURE, fail } from './exit.ts';

/** Prints the passkeys and the sessions without one. */
export function listPasskeys({ json }: { readonly json?: true | undefined }): void {
  const here = consoleHere();
  const file = pinnedHere(here);
  const sessions = (file?.sessions ?? []).filter(({ until }) => until > Date.now());
  if (json === true) {
    const { passkeys = [], origin = null } = file ?? {};
    const shown = { origin, passkeys, sessions: sessions.map(({ name, until }) => ({ name, until })) };
    process.stdout.write(`${visibleJson(shown)}\n`);
    return;
  }
  if (file === undefined || file.passkeys.length + sessions.length === 0)
    process.stderr.write('no passkeys yet: sudo agent3 console link\n');
  for (const { name, fingerprint, made_at } of file?.passkeys ?? [])
    row(name, fingerprint, `since ${formatMinute(made_at)}`);
  for (const { name, until } of sessions) row(name, 'no passkey', `until ${formatMinute(until)}`);
  if (file !== undefined && here.origin !== undefined && file.origin !== here.origin)
    process.stderr.write(
      `these passkeys are for ${file.origin}, but the console is at ${here.origin}, so they no longer work\n`,
    );
}

function row(name: string, fingerprint: string, when: string): void {
  process.stdout.write(`${visibleLine(name).padEnd(24)}  ${fingerprint.padEnd(19)}  ${when}\n`);
}

/** Formats a time to the minute. */
export function formatMinute(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Ends the tokens that the removed passkeys made or kept: the owner of a lost phone cannot know which. */
function endTokens({ isInstalled }: ConsoleHere, ids: ReadonlySet<string>): void {
  const path = isInstalled ? PATHS.tokens : processEnvironment()['AGENT3_TOKENS_FILE'];
  if (!path || !existsSync(path) || ids.size === 0) return;
  try {
    for (const name of endTokensBy(path, ids))
      process.stdout.write(`ended ${visibleLine(name)}, a token or grant that it had made or kept\n`);
  } catch (error) {
    if (!(error instanceof TokenFileFault)) throw error;
    fail(EXIT_FAILURE, `its tokens could not be ended: ${error.message}`);
  }
}

/** Removes a passkey or a session by name or fingerprint, and its sign-ins. */
export async function removePasskey(which: string): Promise<void> {
  requireOwner(`remove ${which}`);
  const here = consoleHere();
  const file = pinnedHere(here);
  const digits = which.replaceAll(/[\s:-]/g, '').toLowerCase();
  const passkeys = (file?.passkeys ?? []).filter(
    ({ name, fingerprint }) => name === which || fingerprint.replaceAll(' ', '') === digits,
  );
  const sessions = (file?.sessions ?? []).filter(({ name }) => name === which);
  if (file === undefined || passkeys.length + sessions.length === 0)
    fail(EXIT_FAILURE, `there is no passkey ${which}. To see them: agent3 console list`);
  if (passkeys.length > 1)
    fail(
      EXIT_FAILURE,
      `${passkeys.length} passkeys are called ${which}. Give a fingerprint`,
      ...passkeys.map(({ fingerprint }) => fingerprint),
    );
  pinHere(here, {
    ...file,
    passkeys: file.passkeys.filter((one) => !passkeys.includes(one)),
    sessions: file.sessions.filter((one) => !sessions.includes(one)),
  });
  for (const { name, fingerprint } of passkeys)
    process.stdout.write(`removed ${visibleLine(name)}, the passkey ${fingerprint}\n`);
  for (const { name, until } of sessions)
    process.stdout.write(`removed ${visibleLine(name)}, without a passkey, until ${formatMinute(until)}\n`);
  process.stdout.write('Its sign-ins have ended.\n');
  endTokens(here, new Set(passkeys.map(({ id }) => id)));
  if (file.passkeys.length === passkeys.length && passkeys.length > 0)
    process.stdout.write('It was the last passkey. To add one: sudo agent3 console link\n');
  if (passkeys.length > 0) (await import('./fleet-keys.ts')).noteServers(here);
}
