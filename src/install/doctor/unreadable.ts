import { statSync } from 'node:fs';
import { type ProfileSet, readProfiles } from '../../access/profile-files.ts';
import { accountOf } from '../../process/environment.ts';
import { asUser } from '../../sandbox/sandbox.ts';
import { PATHS } from '../layout.ts';

/**
 * Why the installed agent, whose user is `own`, cannot read a file or list a directory; undefined when it can, or where
 * nobody but root could find out.
 */
export function unreadable(path: string, own: string | undefined): string | undefined {
  if (process.geteuid?.() !== 0 || own === undefined || own === 'root') return undefined;
  const account = accountOf(own);
  if (account === undefined) return undefined;
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const { exitCode } = Bun.spawnSync([
    ...asUser(account),
    'test',
    ...['-r', path],
    ...(isDirectory ? ['-a', '-x', path] : []),
  ]);
  return exitCode === 0 ? undefined : `the agent, which runs as ${own}, cannot read it`;
}

/** The profiles of the installed agent, whose user is `own`, as it has them. */
export function installedProfiles(own: string | undefined): ProfileSet {
  return readProfiles(PATHS.profiles, (path) => {
    const fault = unreadable(path, own);
    return fault && `${fault}: chmod a+rX ${path}`;
  });
}
