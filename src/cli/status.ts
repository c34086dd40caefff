import type { Command } from '@commander-js/extra-typings';
import { describeInstalled, lookAtInstalled } from '../install/status.ts';
import { visibleJson } from '../lib/visible.ts';
import { EXIT_FAILURE } from './exit.ts';
import { resolveRoot, runInstaller, writeLine } from './install.ts';

/** `agent3 status`. */
export function defineStatus(command: Command): void {
  command
    .option('--json', 'print it as JSON; null where nothing is installed')
    .option('--root <directory>', 'look at what is staged in this directory', '/')
    .addHelpText('after', '\nExit code: 0 it is installed and answers, 1 it does not. Run it as root.')
    .action(({ json, root }) => runInstaller(() => printStatus(resolveRoot(root), json === true)));
}

const NOT_INSTALLED = 'Agent3 is not installed. To install it: agent3 install';

async function printStatus(root: string, asJson: boolean): Promise<void> {
  const installed = await lookAtInstalled(root);
  if (asJson) writeLine(visibleJson(installed ?? null));
  else writeLine(installed === undefined ? NOT_INSTALLED : describeInstalled(installed));
  if (installed === undefined || installed.service?.answers === null) process.exit(EXIT_FAILURE);
}
