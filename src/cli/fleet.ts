import { type Command, Option } from '@commander-js/extra-typings';
import { DIR_OPTION } from './fleet-here.ts';
import { numberOption } from './number-option.ts';

/** `agent3 fleet`. */
export function defineFleet(command: Command): void {
  command.addHelpText('after', HELP);
  command
    .command('init')
    .description('Make this agent the hub of a fleet: NATS, its keys and its certificate')
    .option('--host <name>', 'name or address by which servers reach this one (default: its domain, or its host name)')
    .addOption(
      new Option('--port <port>', 'port of NATS')
        .argParser(numberOption(/^\d+$/, 1, 65_535, 'A port is a number from 1 to 65535.'))
        .default(4222),
    )
    .option('--listen <address>', 'address that NATS listens on', '0.0.0.0')
    .option('--name <name>', 'name of the hub itself, for calls', 'hub')
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-init.ts')).initFleet(options));
  command
    .command('invite <name>')
    .description('Invite a server: prints a command for it and a code, and waits until it has joined')
    .option('--label <name=value...>', 'labels of the server')
    .option('--json', 'print what happens as lines of JSON')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-invite.ts')).inviteServer(name, options));
  command
    .command('list')
    .description('List the servers')
    .option('--json', 'print them as JSON')
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-servers.ts')).listServers(options));
  command
    .command('show <name>')
    .description('Show a server: its labels, its key and what the hub may do there')
    .option('--json', 'print it as JSON')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-servers.ts')).showServer(name, options));
  command
    .command('label <name> <changes...>')
    .description('Set labels of a server (role=web), or take them away (role-)')
    .option(...DIR_OPTION)
    .action(async (name, changes, options) => (await import('./fleet-servers.ts')).labelServer(name, changes, options));
  command
    .command('remove <name>')
    .description('Remove a server: its connection ends at once')
    .option(...DIR_OPTION)
    .action(async (name, options) => (await import('./fleet-servers.ts')).removeServer(name, options));
  command
    .command('passkeys')
    .description("Print the passkeys of this hub's console, for agent3 join --passkeys on a server")
    .option(...DIR_OPTION)
    .action(async (options) => (await import('./fleet-passkeys.ts')).printPasskeys(options));
}

const HELP = `
One agent, the hub, is the door to many servers. Each of them keeps its own profiles, rules, approvals and record.

Examples:
  sudo agent3 fleet init --host hub.example.org
  sudo agent3 fleet invite web1 --label role=web --label env=prod
  sudo agent3 fleet label web1 env=test role-
  sudo agent3 fleet remove web1`;
