import { readFileSync, statSync } from 'node:fs';
import { passwordEntry } from '../linux/libc.ts';

/** The variable that marks every process of a session. Build servers find left-over processes in the same way. */
export const SESSION_MARK = 'AGENT3_SESSION';

/** Debian's default for the login of root, which includes the administration tools. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The account that commands run as: from the user database, not from the agent's own environment. */
export interface Account {
  readonly name: string;
  readonly home: string;
}

/** Returns the account that the agent runs as. If the database does not have it: its number as name, `/` as home. */
export function currentAccount(): Account {
  const uid = process.geteuid?.() ?? 0;
  return passwordEntry(uid) ?? { name: String(uid), home: '/' };
}

/** An account that a command is to run as. */
export interface NamedAccount extends Account {
  /** Its number. */
  readonly user: number;
  /** Numbers of its groups, its own one first. */
  readonly groups: readonly number[];
}

/** Where accounts and groups are (passwd(5), group(5)). */
const DATABASES = ['/etc/passwd', '/etc/group'] as const;
/** Two changes within this time may have the same time stamp. */
const UNSURE_MS = 50;

let known: { readonly seen: string; readonly accounts: Map<string, NamedAccount | undefined> } | undefined;

/** Returns the account with this name in /etc/passwd, or undefined. Reads the files again when one has changed. */
export function accountOf(name: string): NamedAccount | undefined {
  const stats = DATABASES.map((path) => statSync(path));
  const seen = stats.map(({ dev, ino, size, mtimeMs, ctimeMs }) => [dev, ino, size, mtimeMs, ctimeMs].join()).join();
  if (known?.seen !== seen) known = { seen, accounts: new Map() };
  const { accounts } = known;
  if (accounts.has(name)) return accounts.get(name);
  const found = readAccount(name);
  if (stats.every(({ ctimeMs }) => Date.now() - ctimeMs > UNSURE_MS)) accounts.set(name, found);
  return found;
}

function readAccount(name: string): NamedAccount | undefined {
  const [, , user, group, , home] = entriesOf('/etc/passwd').find(([one]) => one === name) ?? [];
  if (user === undefined || group === undefined) return undefined;
  const others = entriesOf('/etc/group').filter(([, , , members = '']) => members.split(',').includes(name));
  const groups = [Number(group), ...others.map(([, , number]) => Number(number))];
  return { name, home: home || '/', user: Number(user), groups };
}

function entriesOf(path: string): string[][] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
}

/** `AGENT3_SESSION=<id>`, as in the environment of every process of that session. */
export function markOf(session: string): string {
  return `${SESSION_MARK}=${session}`;
}

/**
 * Returns the whole environment of a command. It has nothing of the agent's own, but settings that keep programs from
 * asking, paging, colouring, and from buffering their output. `added` comes last: a caller may override everything but
 * the session's mark.
 */
export function commandEnvironment(
  account: Account,
  session: string,
  added: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    PATH,
    HOME: account.home,
    USER: account.name,
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    DEBIAN_FRONTEND: 'noninteractive',
    PAGER: 'cat',
    GIT_PAGER: 'cat',
    SYSTEMD_PAGER: 'cat',
    GIT_TERMINAL_PROMPT: '0',
    NO_COLOR: '1',
    PYTHONUNBUFFERED: '1',
    ...added,
    [SESSION_MARK]: session,
  };
}
