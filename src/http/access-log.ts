import type { Logger } from '../log/log.ts';
import type { Exchange } from './exchange.ts';
import { isUnexpected } from './problems.ts';

/** Longest method and path that a log line repeats: both are the client's own words. */
const MAX_LOGGED_CHARS = 200;

/** One line per request: what was asked and how it ended, never the token, a command or its output. */
export function logExchange(
  logger: Logger,
  exchange: Exchange | undefined,
  status: number,
  bytes: number,
  error: unknown,
): void {
  const fields = {
    request_id: exchange?.id,
    address: exchange?.address,
    method: exchange?.method.slice(0, MAX_LOGGED_CHARS),
    path: exchange?.path.slice(0, MAX_LOGGED_CHARS),
    op: exchange?.op,
    session: exchange?.session,
    outcome: exchange?.outcome,
    exit_code: exchange?.exitCode,
    status,
    duration_ms: exchange === undefined ? undefined : Math.round(performance.now() - exchange.startedMs),
    bytes,
  };
  if (error !== undefined && isUnexpected(error)) logger.error({ ...fields, err: error }, 'request');
  else logger.info(fields, 'request');
}
