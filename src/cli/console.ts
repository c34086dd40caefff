import { type Command, Option } from '@commander-js/extra-typings';
import { ConsoleFault } from '../console/fault.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** `agent3 console`. */
export function defineConsole(command: Command): void {
  command.addHelpText('after', HELP);
  command
    .command('link')
    .description('Link a phone or a browser, and pin its passkey')
    .option('--name <name>', 'name of the passkey (default: as given on the device)')
    .action(async (options) => (await import('./console-link.ts')).linkConsole(options));
  command
    .command('list')
    .description('List passkeys, and sessions without a passkey')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./console-passkeys.ts')).listPasskeys(options));
  command
    .command('remove <passkey>')
    .description('Remove a passkey or a session, by name or fingerprint, and sign it out')
    .action(async (passkey) => (await import('./console-passkeys.ts')).removePasskey(passkey));
  command.command('serve').description('Serve the page and its API until SIGTERM (for its unit)').action(serve);
  command
    .command('obey', { hidden: true })
    .description('Obey the orders of the console for root (for its path unit)')
    .addOption(new Option('--since <ms>', 'start of an agent that is not a service').argParser(Number))
    .addOption(new Option('--hub', 'obey the console of the hub, on a server of a fleet'))
    .addOption(new Option('--order <id>', 'obey only the order on standard input, for an agent that is not a service'))
    .action(async ({ since, hub, order }) => {
      if (hub !== true) return (await import('./console-obey.ts')).obeyConsole(since);
      const { obeyHub, obeyHubMessage } = await import('./hub-obey.ts');
      return order === undefined ? obeyHub() : obeyHubMessage(order);
    });
}

const HELP = `
The console is the owner's web page: approvals, running commands, freeze. Each passkey has the rights of the owner.

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
