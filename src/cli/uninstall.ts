import type { Command } from '@commander-js/extra-typings';
import { uninstall } from '../install/uninstall.ts';
import { resolveRoot, runInstaller, writeLine } from './install.ts';

/** `agent3 uninstall`. */
export function defineUninstall(command: Command): void {
  command
    .option('--purge', 'remove settings, sessions, logs and the user as well')
    .option('--dry-run', 'print what would be removed, and change nothing')
    .option('--root <directory>', 'remove what is staged in this directory', '/')
    .action(({ purge = false, dryRun = false, root }) =>
      runInstaller(() => {
        const count = uninstall({ purge, dryRun, root: resolveRoot(root) }, writeLine);
        writeLine(count === 0 ? 'Nothing to remove: Agent3 is not installed.' : describeEnd(purge, dryRun));
      }),
    );
}

function describeEnd(purge: boolean, dryRun: boolean): string {
  if (dryRun) return 'Nothing was changed: this is what would be done.';
  return purge
    ? 'Agent3 is removed, with everything it kept.'
    : 'Agent3 is removed. Settings, sessions and logs are kept; uninstall --purge, with the executable of a bundle, removes them.';
}
