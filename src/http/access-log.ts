import type { Logger } from '../log/log.ts';
import type { Exchange } from './exchange.ts';
import { isUnexpected } from './problems.ts';

/** Longest method and path that a log line repeats: both are the client's own words. */
const MAX_LOGGED_CHARS = 200;

/** How a request was answered. */
export interface Ending {
  /** Of HTTP; undefined where another transport carried the answer. */
  readonly status: number | undefined;
  readonly durationMs: number;
  /** Of the answer's body; undefined where nobody counts them. */
  readonly bytes: number | undefined;
  /** What was thrown, if anything. */
  readonly error: unknown;
}

/** One line per request: what was asked and how it ended, never the token, a command or its output. */
export function logExchange(logger: Logger, exchange: Exchange | undefined, ending: Ending): void {
  const fields = {
    request_id: exchange?.id,
    address: exchange?.address,
    method: exchange?.method.slice(0, MAX_LOGGED_CHARS),
    path: exchange?.path.slice(0, MAX_LOGGED_CHARS),
    op: exchange?.op,
    session: exchange?.session,
    outcome: exchange?.outcome,
    exit_code: exchange?.exitCode,
    status: ending.status,
    duration_ms: Math.round(ending.durationMs),
    bytes: ending.bytes,
  };
  if (ending.error !== undefined && isUnexpected(ending.error))
    logger.error({ ...fields, err: ending.error }, 'request');
  else logger.info(fields, 'request');
}
