import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { InstallFault } from '../install/fault.ts';
import { install } from '../install/install.ts';
import { PACKAGED_BINARY } from '../install/layout.ts';
import type { InstallOptions } from '../install/options.ts';
import { reportOf } from '../install/report.ts';
import { statusText } from '../install/status.ts';
import { uninstall } from '../install/uninstall.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

interface Given {
  readonly user?: string;
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
  readonly domain?: string;
  readonly watchdog: boolean;
  readonly start: boolean;
  readonly dryRun?: true;
  readonly root: string;
  readonly binary?: string;
  readonly status?: true;
  readonly uninstall?: true;
  readonly purge?: true;
}

export function addInstall(program: Command): void {
  program
    .command('install')
    .description('Set the agent up as a service of this machine, or upgrade it')
    .option(
      '--user <name>',
      'user the agent and its commands run as: "root" for full administration (default: a new user, agent3)',
    )
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <number>', 'port to listen on (default: 5000)', portOf)
    .option('--token <token>', 'token that clients send; "-" reads it from standard input (default: a new one)')
    .option('--domain <name>', 'HTTPS under this name through Caddy, which has to be installed')
    .option('--no-watchdog', 'no check every 5 minutes')
    .option('--no-start', 'put everything in place, and start nothing')
    .option('--dry-run', 'print every file and command, and change nothing')
    .option('--root <directory>', 'stage into this directory, for building images', '/')
    .option('--binary <file>', 'executable to install (default: this one)')
    .option('--status', 'tell what is installed')
    .option('--uninstall', 'take the service away; settings, sessions and logs stay')
    .option('--purge', 'with --uninstall: settings, sessions, logs and the user go too')
    .addHelpText('after', EXAMPLES)
    .action(run);
}

const EXAMPLES = `
Examples:
  sudo ./agent3 install                               as user agent3, on 127.0.0.1:5000
  sudo ./agent3 install --user root --domain agent.example.org
  sudo agent3 install --port 5001                     changes the port of what is installed
  sudo agent3 install --uninstall --purge`;

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('It has to be a number from 1 to 65535.');
}

async function run(given: Given): Promise<void> {
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

function goodbye({ dryRun, purge }: Given): string {
  if (dryRun) return 'Nothing was changed: this is what would be done.';
  return purge
    ? 'Agent3 is removed, with everything it kept.'
    : 'Agent3 is removed. Settings, sessions and logs are kept; --uninstall --purge removes them.';
}

function optionsOf(given: Given, root: string): InstallOptions {
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
