import { type Command, Option } from '@commander-js/extra-typings';
import { DIR_OPTION } from './fleet-here.ts';
import { numberOption } from './number-option.ts';

/** `agent3 fleet`. */
export function defineFleet(command: Command): void {
  command.addHelpText('after', HELP);
  command
    .command('init')
    .description('Make this agent the hub of a fleet, with NATS, keys and a certificate')
    .option('--host <name>', 'name or address at which servers reach the hub (default: its domain or host name)')
    .addOption(
      new Option('--port <port>', 'port of NATS')
        .argParser(numberOption(/^\d+$/, 1, 65_535, 'A port is a number from 1 to 65535.'))
        .default(4222),
    )
    .option('--listen <address>', 'address that NATS listens on', '0.0.0.0')
    .option('--name <name>', 'name of the hub itself', 'hub')
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-init.ts')).initFleet(options));
  command
    .command('invite <name>')
    .description('Invite a server, and wait until it has joined')
    .option('--label <name=value...>', 'labels of the server')
    .option('--json', 'print a line of JSON for each event')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-invite.ts')).inviteServer(name, options));
  command
    .command('list')
    .description('List the servers of the fleet')
    .option('--json', 'print JSON')
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-servers.ts')).listServers(options));
  command
    .command('show <name>')
    .description('Show a server, its labels, its key and what the hub may do there')
    .option('--json', 'print JSON')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-servers.ts')).showServer(name, options));
  command
    .command('label <name> <changes...>')
    .description('Set labels of a server (role=web), or remove them (role-)')
    .option(...DIR_OPTION)
    .action(async (name, changes, options) => (await import('./fleet-servers.ts')).labelServer(name, changes, options));
  command
    .command('remove <name>')
    .description('Remove a server and end its connection')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-servers.ts')).removeServer(name, options));
  command
    .command('passkeys')
    .description("Print the passkeys of this hub's console, for agent3 join --passkeys on a server")
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-passkeys.ts')).printPasskeys(options));
}

const HELP = `
One agent, the hub, passes calls to many servers. Each server keeps its own profiles, rules, approvals and record.

Examples:
  sudo agent3 fleet init --host hub.example.org
  sudo agent3 fleet invite web1 --label role=web --label env=prod
  sudo agent3 fleet label web1 env=test role-
  sudo agent3 fleet remove web1`;
