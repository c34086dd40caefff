import { GuessingRefused, SignInRequired, Unauthorized } from '../lib/errors.ts';
import type { AccessLog, Ending } from './access-log.ts';

import type { Exchange } from './exchange.ts';
import type { Metrics } from './metrics.ts';
import { problemOf } from './problems.ts';

/** Where an answer is counted and logged. */
export interface AnswerDeps {
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
}

/** The answer to a call that was refused or failed: JSON, with its log line. */
export function failed(parts: AnswerDeps, exchange: Exchange, error: unknown): Response {
  const problem = problemOf(error);
  return respond(parts, exchange, problem.status, problem.body, problem.headers, error);
}

/** Every answer but a stream and the parts of `/docs`: JSON. */
export function respond(
  parts: AnswerDeps,
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  error?: unknown,
): Response {
  const text = JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers };
  return send(parts, exchange, status, text, Buffer.byteLength(text), all, error);
}

/** Every answer but a stream leaves through here, with its log line. */
export function send(
  parts: AnswerDeps,
  exchange: Exchange,
  status: number,
  body: string | Blob | null,
  bytes: number,
  headers: Readonly<Record<string, string>>,
  error?: unknown,
): Response {
  log(parts, exchange, { status, bytes, error });
  return new Response(body, { status, headers: { 'x-request-id': exchange.id, ...headers } });
}

/** Writes the line of an answer that leaves now. */
export function log(parts: AnswerDeps, exchange: Exchange, ending: Omit<Ending, 'durationMs'>): void {
  const durationMs = performance.now() - exchange.startedMs;
  // After the answer has left: nobody waits for a log line.
  setImmediate(() => {
    parts.metrics.request(exchange.op, ending.status ?? 0, durationMs / 1000);
    if (isFailedLogin(ending.error)) parts.metrics.failedLogin();
    parts.accessLog.write(exchange, { ...ending, durationMs });
  });
}

function isFailedLogin(error: unknown): boolean {
  return error instanceof Unauthorized || error instanceof SignInRequired || error instanceof GuessingRefused;
}
