import { statSync } from 'node:fs';
import { runCommand } from '../../ops/watchdog/command.ts';
import { LOG_GROUPS, LOOK_USER } from '../lib/look-user.ts';
import type { Changes } from './changes.ts';
import type { Manifest } from './installed.ts';
import { hasConsole, INVENTORY } from './inventory.ts';
import { CONSOLE_USER, DEFAULT_USER, LOOK_COMMENT, LOOK_HOME, NOLOGIN, PATHS } from './layout.ts';
import { entryOf, InstallFault, namesIn, systemIds, userExists } from './machine.ts';
import type { PlanInput } from './plan.ts';
import { isStaged, type Situation } from './survey.ts';

/**
 * Makes the users that the installation needs, and adds them to their groups. Returns what the manifest keeps of that.
 */
export function makeUsers(situation: Situation): string[] | undefined {
  const { options, changes, input, manifest, notes } = situation;
  const { user } = input;
  if (isStaged(options)) return input.lookLogs ? [...input.logGroups] : undefined;
  if (user === 'root') makeLookUser(situation);
  else if (!userExists(user)) {
    if (user !== DEFAULT_USER) throw new InstallFault(`there is no user ${user}. Make it first, or leave out --user`);
    addUser(changes, user, PATHS.home, ['--user-group']);
  }
  if (hasConsole(input)) makeConsoleUser(changes, user);
  const isSame = manifest?.user === user;
  if (!isSame || !input.lookLogs) leaveLogGroups(changes, manifest, notes);
  if (!input.lookLogs) return undefined;
  const missing = input.logGroups.filter((group) => !isMember(user, group));
  for (const group of missing) join(changes, user, group);
  if (missing.length > 0)
    notes.push(
      `every command of the agent can now read the logs of this machine, with any profile: ${user} is in the groups ${input.logGroups.join(', ')}. To end that: agent3 install --no-look-logs`,
    );
  if (input.logGroups.length === 0) notes.push(`this machine has none of the groups ${LOG_GROUPS.join(', ')}`);
  return [...(isSame ? (manifest?.lookLogs ?? []) : []), ...missing];
}

/** Takes the user of the agent out of the groups that the installer put it into. */
export function leaveLogGroups(changes: Changes, manifest: Manifest | undefined, notes: string[] = []): void {
  const { user, lookLogs = [] } = manifest ?? {};
  if (user === undefined) return;
  const left = lookLogs.filter((group) => isMember(user, group));
  for (const group of left)
    changes.command(['gpasswd', '-d', user, group], () => runCommand(['gpasswd', '-a', user, group]));
  if (left.length > 0) notes.push(`commands of ${user} can no longer read the logs of this machine`);
}

/** For an agent of before, whose sandboxes were root's. */
const LOOKS_NOW = `readonly commands now run as the user ${LOOK_USER}, so they can no longer read files that only root may read. To allow that again: a profile with user = "root"`;

function makeLookUser({ changes, input, manifest, notes }: Situation): void {
  if (!userExists(LOOK_USER)) {
    if (manifest?.user === 'root') notes.push(LOOKS_NOW);
    const groups = input.logGroups.length === 0 ? [] : ['--groups', input.logGroups.join(',')];
    addUser(changes, LOOK_USER, LOOK_HOME, ['--user-group', '--comment', LOOK_COMMENT, ...groups]);
    return;
  }
  if (!isOurs(LOOK_USER)) {
    notes.push(
      `the user ${LOOK_USER} was not made by Agent3, but readonly commands run as it. To get a new one: rename that user, then run: agent3 install`,
    );
    return;
  }
  for (const group of input.logGroups) if (!isMember(LOOK_USER, group)) join(changes, LOOK_USER, group);
}

/** In no group of the agent: it reads nothing of it but what the agent shows. */
function makeConsoleUser(changes: Changes, agent: string): void {
  if (!userExists(CONSOLE_USER)) {
    addUser(changes, CONSOLE_USER, PATHS.console, ['--user-group', '--comment', 'Agent3 console']);
  } else if (agent === CONSOLE_USER || !isOurs(CONSOLE_USER)) {
    throw new InstallFault(
      `the user ${CONSOLE_USER} exists and was not made by Agent3. Rename it, or leave out the console: agent3 install --no-console`,
    );
  }
}

function addUser(changes: Changes, name: string, home: string, more: readonly string[]): void {
  const argv = ['useradd', '--system', '--home-dir', home, '--no-create-home', '--shell', NOLOGIN, ...more, name];
  changes.command(argv, () => runCommand(['userdel', name]));
}

function join(changes: Changes, user: string, group: string): void {
  changes.command(['gpasswd', '-a', user, group], () => runCommand(['gpasswd', '-d', user, group]));
}

/** Removes the users that the installer made, and says where files of theirs may be left. */
export function removeUsers(changes: Changes, print: (line: string) => void): void {
  const ours = [DEFAULT_USER, LOOK_USER, CONSOLE_USER].filter(isOurs);
  const ids = ours.map((name) => systemIds.uid(name));
  for (const name of ours) changes.command(['userdel', name]);
  if (ours.length === 0) return;
  const names = ours.map((name, index) => `${name} (${ids[index]})`).join(', ');
  const find = `find / -xdev ${ids.map((id) => `-uid ${id}`).join(' -o ')}`;
  print(`files that commands made elsewhere still have the number of the removed user: ${names}. ${find}`);
}

function isOurs(name: string): boolean {
  const [, , , , comment, home] = entryOf('passwd', name) ?? [];
  if (name === LOOK_USER) return comment === LOOK_COMMENT;
  return home === (name === CONSOLE_USER ? PATHS.console : PATHS.home);
}

function isMember(user: string, group: string): boolean {
  return runCommand(['id', '-nG', user]).stdout.trim().split(' ').includes(group);
}

/** How an earlier run left the home, which is looked at before this run changes it. */
export interface Home {
  readonly uid: number;
  readonly gid: number;
}

/** Whose the home, and the sessions in it, are now; empty where they are not there yet. */
export function homeNow(changes: Changes): Home[] {
  return [PATHS.home, PATHS.sessions].flatMap((path) => statSync(changes.at(path), { throwIfNoEntry: false }) ?? []);
}

/**
 * Passes to the user of the agent what another user of it has left, on every run: its home, and read access to tokens
 * and profiles, which are root's. The owners of those stay: a file that is not root's is not trusted, and must not
 * become so.
 */
export function handOver(
  changes: Changes,
  { user, group }: PlanInput,
  before: readonly Home[],
  manifest?: Manifest,
): void {
  const [home] = before;
  // None in a dry run, whose user is not there yet.
  const own = Number(entryOf('passwd', user)?.[2]);
  const isOther = before.some(({ uid }) => uid !== own);
  if (isOther || (manifest !== undefined && manifest.user !== user)) {
    changes.command(['chown', '-R', `${user}:${group}`, PATHS.home], () => {
      if (home !== undefined) runCommand(['chown', '-R', `${home.uid}:${home.gid}`, PATHS.home]);
    });
  }
  for (const { kind, name } of INVENTORY.filter(({ isRead }) => isRead === true)) {
    const files = kind === 'directory' ? namesIn(changes.at(name)).map((file) => `${name}/${file}`) : [name];
    for (const file of files) changes.openTo(file, group);
  }
}
