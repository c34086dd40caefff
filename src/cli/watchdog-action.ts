import { dirname } from 'node:path';
import { openJournal } from '../../ops/watchdog/journal.ts';
import { readTarget } from '../../ops/watchdog/target.ts';
import { type CheckOptions, checkOnce, checkOnSchedule } from '../../ops/watchdog.ts';
import { processEnvironment } from '../settings/config.ts';
import { EXIT_USAGE, fail } from './exit.ts';
import { DEFAULT_SCHEDULE, type WatchdogArguments } from './watchdog-arguments.ts';

/** Checks once, or by the schedule, and ends the process. */
export async function watch(given: WatchdogArguments): Promise<void> {
  const environment = processEnvironment();
  const options = optionsOf(given, environment);
  if (given.once) process.exit(await checkOnce(options));
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  try {
    await checkOnSchedule(environment['AGENT3_WATCHDOG_SCHEDULE'] || DEFAULT_SCHEDULE, options, stop.signal);
  } catch (error) {
    fail(EXIT_USAGE, `AGENT3_WATCHDOG_SCHEDULE: ${error instanceof Error ? error.message : String(error)}`);
  }
  process.exit(0);
}

function optionsOf(given: WatchdogArguments, environment: Readonly<Record<string, string | undefined>>): CheckOptions {
  try {
    return {
      target: readTarget(given.unit, environment),
      write: openJournal(given.log),
      logs: given.log === '-' ? undefined : dirname(given.log),
      stateFile: given.state,
      recheckSeconds: given.recheck,
      recoverySeconds: given.recovery,
    };
  } catch (error) {
    fail(EXIT_USAGE, error instanceof Error ? error.message : String(error));
  }
}
