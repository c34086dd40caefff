import { type Command, InvalidArgumentError } from 'commander';
import { DEFAULT_SCHEDULE, type WatchdogArguments } from './watchdog-arguments.ts';

const AFTER_HELP = `
Without --once it checks by AGENT3_WATCHDOG_SCHEDULE, a cron expression (default: ${DEFAULT_SCHEDULE}).
Exit code of --once: 0 the agent runs, 1 it did not and was restarted, 3 it does not run, 2 wrong usage.

Examples:
  agent3 watchdog --once                 one check, as the systemd timer does it
  agent3 watchdog --once --log -         the same, told on standard output`;

export function addWatchdog(program: Command): void {
  program
    .command('watchdog')
    .description('Check that the agent lives, and restart it where it does not')
    .option('--once', 'check once, and end')
    .option('--unit <name>', 'systemd unit of the agent', 'agent3')
    .option(
      '--log <file>',
      'file that each check adds a line to; "-" is standard output',
      '/var/log/agent3/watchdog.log',
    )
    .option('--state <file>', 'file that remembers restarts', '/run/agent3-watchdog/state.json')
    .option('--recheck <seconds>', 'wait between a bad look and the second one', secondsOf, 5)
    .option('--recovery <seconds>', 'how long a restarted agent may take', secondsOf, 30)
    .addHelpText('after', AFTER_HELP)
    .action(async (given: WatchdogArguments) => {
      const { watch } = await import('./watchdog-action.ts');
      await watch(given);
    });
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (text !== '' && seconds >= 0 && seconds <= 600) return seconds;
  throw new InvalidArgumentError('It has to be a number of seconds from 0 to 600.');
}
