import { type Command, Option } from '@commander-js/extra-typings';
import { ConsoleFault } from '../console/fault.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** `agent3 console`. */
export function defineConsole(command: Command): void {
  command.addHelpText('after', HELP);
  command
    .command('link')
    .description('Link a phone or a browser: shows a link, and pins the passkey that is made there')
    .option('--name <name>', 'what the passkey is called (default: as its owner calls it)')
    .action(async (options) => (await import('./console-link.ts')).linkConsole(options));
  command
    .command('list')
    .description('List the passkeys, and who is signed in without one')
    .option('--json', 'print them as JSON')
    .action(async (options) => (await import('./console-passkeys.ts')).listPasskeys(options));
  command
    .command('remove <passkey>')
    .description('Remove a passkey or a session, by its name or fingerprint: who has it is signed out at once')
    .action(async (passkey) => (await import('./console-passkeys.ts')).removePasskey(passkey));
  command.command('serve').description('Serve the page and its API until SIGTERM (its unit runs this)').action(serve);
  command
    .command('obey', { hidden: true })
    .description('Obey the orders that the console has left for root (its path unit runs this)')
    .addOption(new Option('--since <ms>', 'for an agent that is no service: when it was started').argParser(Number))
    .addOption(new Option('--hub', 'on a server of a fleet: what the console of its hub orders'))
    .addOption(new Option('--order <id>', 'for an agent that is no service: the one on standard input'))
    .action(async ({ since, hub, order }) => {
      if (hub !== true) return (await import('./console-obey.ts')).obeyConsole(since);
      const { obeyHub, obeyHubMessage } = await import('./hub-obey.ts');
      return order === undefined ? obeyHub() : obeyHubMessage(order);
    });
}

const HELP = `
The console is the page of the owner: what waits for approval, what runs, freeze. Each passkey is an owner.

Examples:
  sudo agent3 console link
  sudo agent3 console list
  sudo agent3 console remove 'Pixel 9'`;

async function serve(): Promise<void> {
  const { readConsoleConfig } = await import('../console/config.ts');
  const { serveConsole } = await import('../console/serve.ts');
  const environment = processEnvironment();
  const config = readConsoleConfig(environment);
  if (!('origin' in config)) fail(EXIT_USAGE, ...config);
  try {
    const { url } = serveConsole(config, environment);
    process.stderr.write(`agent3: the console of ${config.origin} listens on ${url}\n`);
  } catch (error) {
    if (error instanceof ConsoleFault) fail(EXIT_FAILURE, error.message);
    throw error;
  }
}
