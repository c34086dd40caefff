import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { InstallFault } from '../install/fault.ts';
import { install } from '../install/install.ts';
import { PACKAGED_BINARY } from '../install/layout.ts';
import type { InstallOptions } from '../install/options.ts';
import { reportOf } from '../install/report.ts';
import { statusText } from '../install/status.ts';
import { uninstall } from '../install/uninstall.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import type { InstallArguments } from './install-arguments.ts';

/** Does what the options of `agent3 install` say, and ends the process. */
export async function runInstaller(given: InstallArguments): Promise<void> {
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  if (given.purge && !given.uninstall) fail(EXIT_USAGE, '--purge goes with --uninstall');
  const root = resolve(given.root);
  try {
    if (given.status) {
      const { text, installed } = await statusText(root);
      tell(text);
      process.exit(installed ? 0 : EXIT_FAILURE);
    }
    if (given.uninstall) {
      const count = uninstall({ purge: given.purge === true, dryRun: given.dryRun === true, root }, tell);
      tell(count === 0 ? 'Nothing to remove: Agent3 is not installed.' : goodbye(given));
      process.exit(0);
    }
    const options = optionsOf(given, root);
    tell(reportOf(await install(options, tell)));
    process.exit(0);
  } catch (error) {
    fail(EXIT_FAILURE, faultText(error));
  }
}

function goodbye({ dryRun, purge }: InstallArguments): string {
  if (dryRun) return 'Nothing was changed: this is what would be done.';
  return purge
    ? 'Agent3 is removed, with everything it kept.'
    : 'Agent3 is removed. Settings, sessions and logs are kept; --uninstall --purge removes them.';
}

function optionsOf(given: InstallArguments, root: string): InstallOptions {
  const binary = resolve(given.binary ?? process.execPath);
  if (!existsSync(binary)) fail(EXIT_USAGE, `--binary ${binary} is not there`);
  if (given.host === '') fail(EXIT_USAGE, '--host needs an address');
  const token = given.token === '-' ? readFileSync(0, 'utf8').split('\n')[0]?.trim() : given.token;
  return {
    ...(given.user !== undefined && { user: given.user }),
    ...(given.host !== undefined && { host: given.host }),
    ...(given.port !== undefined && { port: given.port }),
    ...(token !== undefined && { token }),
    ...(given.domain !== undefined && { domain: given.domain }),
    watchdog: given.watchdog,
    start: given.start,
    dryRun: given.dryRun === true,
    root,
    binary,
    // Where a package puts it: its other files are the package's as well.
    packaged: process.execPath === PACKAGED_BINARY,
  };
}

/** A system's error names the file by itself; in words, with what is the matter. */
function faultText(error: unknown): string {
  if (error instanceof InstallFault) return error.message;
  if (errnoOf(error) === undefined) throw error;
  const path = (error as { path?: unknown }).path;
  return `${typeof path === 'string' ? `${path}: ` : ''}${describeErrno(error)}; nothing was changed`;
}
