import { type Command, InvalidArgumentError } from 'commander';
import type { InstallArguments } from './install-arguments.ts';

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
    .option('--no-domain', 'take the name out of Caddy again')
    .option('--watchdog', 'a check every 5 minutes, also where it was left out before')
    .option('--no-watchdog', 'no check every 5 minutes, also after an upgrade')
    .option('--look-logs', 'let every command of an agent with a user of its own read the logs of this machine')
    .option('--no-look-logs', 'end that')
    .option('--no-start', 'put everything in place, and start nothing')
    .option('--dry-run', 'print every file and command, and change nothing')
    .option('--root <directory>', 'stage into this directory, for building images', '/')
    .option('--binary <file>', 'executable to install (default: this one)')
    .option('--status', 'tell what is installed')
    .option('--uninstall', 'take the service away; settings, sessions and logs stay')
    .option('--purge', 'with --uninstall: settings, sessions, logs and the user go too')
    .addHelpText('after', EXAMPLES)
    .action(async (given: InstallArguments) => {
      // The installer is no part of a running agent: it is loaded when it is asked for.
      const { runInstaller } = await import('./install-action.ts');
      await runInstaller(given);
    });
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
