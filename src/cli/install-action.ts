import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { InstallFault } from '../install/fault.ts';
import { install } from '../install/install.ts';
import { PACKAGED_BINARY } from '../install/layout.ts';
import type { InstallOptions } from '../install/options.ts';
import { reportOf } from '../install/report.ts';
import { statusText } from '../install/status.ts';
import { uninstall } from '../install/uninstall.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import type { InstallArguments } from './install-arguments.ts';

/** Does what the options of `agent3 install` say, and ends the process. */
export async function runInstaller(given: InstallArguments): Promise<void> {
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  if (given.purge && !given.uninstall) fail(EXIT_USAGE, '--purge goes with --uninstall');
  if (given.root === '') fail(EXIT_USAGE, '--root needs a directory');
  refuseMixed(given);
  const root = resolve(given.root);
  try {
    if (given.status) {
      const { text, isWell } = await statusText(root);
      tell(text);
      process.exit(isWell ? 0 : EXIT_FAILURE);
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
    ...(given.watchdog !== undefined && { watchdog: given.watchdog }),
    ...(given.lookLogs !== undefined && { lookLogs: given.lookLogs }),
    start: given.start,
    dryRun: given.dryRun === true,
    root,
    binary,
    // Where a package puts it: its other files are the package's as well.
    packaged: process.execPath === PACKAGED_BINARY,
  };
}

/** Throws away nothing in silence: what does not go together is refused. */
function refuseMixed(given: InstallArguments): void {
  const { status, uninstall: removes } = given;
  if (status && removes) fail(EXIT_USAGE, '--status and --uninstall do not go together');
  const setsUp: string[] = (
    ['user', 'host', 'port', 'token', 'domain', 'watchdog', 'lookLogs', 'binary'] as const
  ).filter((name) => given[name] !== undefined);
  if (!given.start) setsUp.push('start');
  const mode = status ? '--status' : '--uninstall';
  if ((status || removes) && setsUp.length > 0) {
    fail(EXIT_USAGE, `${mode} takes no option that sets up: ${setsUp.map(optionName).join(', ')}`);
  }
  if (status && given.dryRun) fail(EXIT_USAGE, '--status changes nothing: leave --dry-run out');
}

/** `lookLogs` → `--look-logs`. */
function optionName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A system's error names the file by itself; in words, with what is the matter. */
function faultText(error: unknown): string {
  if (error instanceof InstallFault) return error.message;
  if (errnoOf(error) === undefined) throw error;
  const path = (error as { path?: unknown }).path;
  return `${typeof path === 'string' ? `${path}: ` : ''}${describeErrno(error)}; nothing was changed`;
}
