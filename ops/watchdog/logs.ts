import { statSync } from 'node:fs';
import { join } from 'node:path';
import { startUnit } from './service.ts';

/** The logs of the agent and the watchdog, as in ops/agent3.logrotate. */
const LOGS = ['audit.jsonl', 'agent3.log', 'watchdog.log'];

/** Like `maxsize` in ops/agent3.logrotate. At this size the agent begins to limit tokens. */
const MOST_BYTES = 64 * 1_048_576;

/**
 * Runs logrotate when a log has grown beyond its size since the daily run. Returns a line about it; undefined when there
 * was nothing to do.
 */
export function rotateLargeLogs(directory: string): string | undefined {
  const large = LOGS.filter((name) => sizeOf(join(directory, name)) >= MOST_BYTES);
  if (large.length === 0) return undefined;
  const fault = startUnit('logrotate.service');
  return `Rotating ${large.join(', ')}, larger than 64 MiB${fault === undefined ? '' : `: ${fault}`}`;
}

/** Returns the size of a file, 0 without the file. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
