import { existsSync, readdirSync, statSync } from 'node:fs';
import type { Changes } from './changes.ts';
import { runCommand } from './command.ts';
import { INVENTORY } from './inventory.ts';
import { PATHS } from './layout.ts';
import type { Manifest } from './manifest.ts';
import type { PlanInput } from './plan.ts';

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
 * Gives the user of the agent what another user of it has left, on every run: what is in its home, and the right to read
 * tokens and profiles, which are root's. Owners of those stay: one that is not root's is not trusted, and must not become so.
 */
export function handOver(
  changes: Changes,
  { user, group }: PlanInput,
  before: readonly Home[],
  manifest?: Manifest,
): void {
  const [home] = before;
  const isOther = before.some(({ uid }) => uid !== uidOf(user));
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

/** Undefined: a dry run, whose user is not there yet. */
function uidOf(user: string): number | undefined {
  const { code, stdout } = runCommand(['id', '-u', user]);
  return code === 0 ? Number(stdout.trim()) : undefined;
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
