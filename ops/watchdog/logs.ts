import { statSync } from 'node:fs';
import { join } from 'node:path';
import { startUnit } from './service.ts';

/** What the agent and the watchdog write in the directory of the logs, as ops/agent3.logrotate has it. */
const LOGS = ['audit.jsonl', 'agent3.log', 'watchdog.log'];

/** As `maxsize` in ops/agent3.logrotate, and the size at which the agent begins to hold tokens back. */
const MOST_BYTES = 64 * 1_048_576;

/**
 * Lets logrotate run now, where a log has grown beyond its size since its daily run. Gives a line about it; undefined
 * where nothing was to be done.
 */
export function rotateLargeLogs(directory: string): string | undefined {
  const large = LOGS.filter((name) => sizeOf(join(directory, name)) >= MOST_BYTES);
  if (large.length === 0) return undefined;
  const fault = startUnit('logrotate.service');
  return `Rotating ${large.join(', ')}, larger than 64 MiB${fault === undefined ? '' : `: ${fault}`}`;
}

/** 0 where there is no such file. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
