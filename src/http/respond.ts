import type { Logger } from 'pino';
import { networkOf } from '../lib/addresses.ts';
import type { Clock } from '../lib/clock.ts';
import { GuessingRefused, SignInRequired, Unauthorized } from '../lib/errors.ts';
import { type Exchange, isUnexpected, problemOf } from './exchange.ts';
import type { Metrics } from './metrics.ts';

export interface AnswerDeps {
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
}

/** Answers a refused or failed call with JSON, and writes its log line. */
export function failed(deps: AnswerDeps, exchange: Exchange, error: unknown): Response {
  const problem = problemOf(error);
  return respond(deps, exchange, problem.status, problem.body, problem.headers, error);
}

/** Answers with JSON: everything but streams and the files of `/docs`. */
export function respond(
  deps: AnswerDeps,
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  error?: unknown,
): Response {
  const text = JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers };
  return send(deps, exchange, status, text, Buffer.byteLength(text), all, error);
}

/** Sends an answer that is not a stream, and writes its log line. */
export function send(
  deps: AnswerDeps,
  exchange: Exchange,
  status: number,
  body: string | Blob | null,
  bytes: number,
  headers: Readonly<Record<string, string>>,
  error?: unknown,
): Response {
  log(deps, exchange, { status, bytes, error });
  return new Response(body, { status, headers: { 'x-request-id': exchange.id, ...headers } });
}

/** Writes the log line of an answer. */
export function log(deps: AnswerDeps, exchange: Exchange, ending: Omit<Ending, 'durationMs'>): void {
  const durationMs = performance.now() - exchange.startedMs;
  // After the answer was sent, which need not wait for a log line.
  setImmediate(() => {
    deps.metrics.request(exchange.op, ending.status ?? 0, durationMs / 1000);
    if (isFailedLogin(ending.error)) deps.metrics.failedLogin();
    deps.accessLog.write(exchange, { ...ending, durationMs });
  });
}

function isFailedLogin(error: unknown): boolean {
  return error instanceof Unauthorized || error instanceof SignInRequired || error instanceof GuessingRefused;
}

/** Longest method and path in a log line: both come from the client. */
const MAX_LOGGED_CHARS = 200;

export interface Ending {
  /** HTTP status; undefined for another transport. */
  readonly status: number | undefined;
  readonly durationMs: number;
  /** Bytes of the answer's body; undefined when they are not counted. */
  readonly bytes: number | undefined;
  readonly error: unknown;
}

/** Logs one line per request: what was asked and how it ended, but never the token, a command or its output. */
export function logExchange(logger: Logger, exchange: Exchange, ending: Ending): void {
  const fields = {
    request_id: exchange.id,
    address: exchange.address,
    method: exchange.method.slice(0, MAX_LOGGED_CHARS),
    path: exchange.path.slice(0, MAX_LOGGED_CHARS),
    op: exchange.op,
    session: exchange.session,
    outcome: exchange.outcome,
    exit_code: exchange.exitCode,
    status: ending.status,
    duration_ms: Math.round(ending.durationMs),
    bytes: ending.bytes,
  };
  if (ending.error !== undefined && isUnexpected(ending.error))
    logger.error({ ...fields, err: ending.error }, 'request');
  else logger.info(fields, 'request');
}

/** Most lines per minute for requests with a missing or wrong token: of one network, and of all. */
const MOST_LINES = { ofOne: 100, ofAll: 500 } as const;
const WINDOW_MS = 60_000;

/**
 * The log of requests over HTTP. Requests without a valid token cannot fill it: beyond the limit per minute they are only
 * counted. A successful `/healthz` is logged at the level debug.
 */
export class AccessLog {
  readonly #lines = new Map<string, number>();
  #sinceMs = Number.NEGATIVE_INFINITY;
  #written = 0;
  #counted = 0;

  constructor(
    private readonly logger: Logger,
    private readonly clock: Clock,
  ) {}

  /** Writes the line of an answered request, or counts it. */
  write(exchange: Exchange, ending: Ending): void {
    if (exchange.path === '/healthz' && ending.status === 200) {
      this.logger.debug({ address: exchange.address }, 'healthz');
      return;
    }
    const hasToken = exchange.principal !== '';
    const isBug = ending.error !== undefined && isUnexpected(ending.error);
    if (hasToken || isBug || this.#hasRoom(networkOf(exchange.address))) logExchange(this.logger, exchange, ending);
  }

  #hasRoom(network: string): boolean {
    const now = this.clock.elapsed();
    if (now - this.#sinceMs >= WINDOW_MS) this.#begin(now);
    const lines = this.#lines.get(network) ?? 0;
    if (lines >= MOST_LINES.ofOne || this.#written >= MOST_LINES.ofAll) {
      if (this.#counted++ === 0) setTimeout(() => this.#logCount(), this.#sinceMs + WINDOW_MS - now).unref();
      return false;
    }
    this.#lines.set(network, lines + 1);
    this.#written++;
    return true;
  }

  #begin(now: number): void {
    this.#logCount();
    this.#sinceMs = now;
    this.#written = 0;
    this.#lines.clear();
  }

  #logCount(): void {
    if (this.#counted === 0) return;
    this.logger.warn({ requests: this.#counted }, 'further requests with a missing or wrong token, within a minute');
    this.#counted = 0;
  }
}
