import { dirname } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { openJournal } from '../../ops/watchdog/journal.ts';
import { readTarget } from '../../ops/watchdog/target.ts';
import { type CheckOptions, checkOnce, checkOnSchedule } from '../../ops/watchdog.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_USAGE, fail } from './exit.ts';
import { numberOption } from './number-option.ts';

/** The interval of the original's shell script. */
const DEFAULT_SCHEDULE = '*/5 * * * *';

const AFTER_HELP = `
Without --once it checks by AGENT3_WATCHDOG_SCHEDULE, a cron expression (default: ${DEFAULT_SCHEDULE}).
Exit code of --once: 0 the agent runs, 1 it was restarted, 2 wrong usage, 3 it does not run.

Examples:
  agent3 watchdog --once                 one check, as the systemd timer does it
  agent3 watchdog --once --log -         the same, told on standard output`;

/** `agent3 watchdog`. */
export function defineWatchdog(command: Command): void {
  command
    .option('--once', 'check once and exit')
    .option('--unit <name>', 'systemd unit of the agent', 'agent3')
    .option(
      '--log <file>',
      'file to which each check adds a line; "-" is standard output',
      '/var/log/agent3/watchdog.log',
    )
    .option('--state <file>', 'file that remembers restarts', '/run/agent3-watchdog/state.json')
    .option('--recheck <seconds>', 'wait before a failed check is repeated', secondsOf, 5)
    .option('--recovery <seconds>', 'how long a restarted agent may take to answer', secondsOf, 30)
    .addHelpText('after', AFTER_HELP)
    .action(async ({ once, unit, log, state, recheck, recovery }) => {
      const environment = processEnvironment();
      const options: CheckOptions = {
        target: await orRefuse(() => readTarget(unit, environment)),
        write: openJournal(log),
        logs: log === '-' ? undefined : dirname(log),
        stateFile: state,
        recheckSeconds: recheck,
        recoverySeconds: recovery,
      };
      if (once) process.exit(await checkOnce(options));
      const stop = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
      const schedule = environment['AGENT3_WATCHDOG_SCHEDULE'] || DEFAULT_SCHEDULE;
      await orRefuse(() => checkOnSchedule(schedule, options, stop.signal));
      process.exit(0);
    });
}

const secondsOf = numberOption(/^[\d.]+$/, 0, 600, 'It must be a number of seconds from 0 to 600.');

async function orRefuse<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    fail(EXIT_USAGE, error instanceof Error ? error.message : String(error));
  }
}
