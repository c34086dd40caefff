import { readdirSync, readFileSync } from 'node:fs';
import { normalize } from 'node:path';
import { isOutOfFiles } from '../lib/errors.ts';
import { withReserve } from '../linux/open-files.ts';
import { statOrUndefined } from './reach.ts';

const PASSWD = '/etc/passwd';

/** Never homes, whatever the user database says: their content belongs to the system. */
const NO_HOME = /^\/(?:$|(?:nonexistent|bin|sbin|lib|lib32|lib64|usr|boot|dev|proc|sys)(?:\/|$))/;

let known: { readonly seen: string; readonly homes: readonly string[] } = { seen: '', homes: [] };

/**
 * Returns the homes of this machine: root's, those in /home (including those of users that /etc/passwd lacks, such as
 * LDAP users), and those in /etc/passwd (passwd(5)). Reads them again when one of the two changes.
 */
export function allHomes(passwd: string = PASSWD, home: string = '/home'): readonly string[] {
  const seen = `${fingerprint(passwd)} ${fingerprint(home)}`;
  if (known.seen !== seen) {
    const below = attempt(() => readdirSync(home)) ?? [];
    const named = attempt(() => readFileSync(passwd, 'utf8')) ?? '';
    known = { seen, homes: [...new Set(['/root', ...below.map((name) => `${home}/${name}`), ...homesIn(named)])] };
  }
  return known.homes;
}

function fingerprint(path: string): string {
  const stat = statOrUndefined(path);
  return `${path} ${stat?.ino} ${stat?.size} ${stat?.mtimeMs}`;
}

/** Returns the result of `read`; undefined if there is nothing to read. Throws EMFILE. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return withReserve(read);
  } catch (error) {
    if (isOutOfFiles(error)) throw error;
    return undefined;
  }
}

function homesIn(text: string): string[] {
  const homes = text
    .split('\n')
    .map((line) => line.split(':')[5] ?? '')
    .filter((home) => home.startsWith('/'))
    .map((home) => normalize(`${home}/`).slice(0, -1) || '/');
  return homes.filter((home) => !NO_HOME.test(home));
}
