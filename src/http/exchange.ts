import { leanAnswer } from '../calls/answer.ts';
import type { Answer, Call } from '../calls/context.ts';
import { Deadline } from '../lib/clock.ts';
import { AgentError, isOutOfFiles, MethodNotAllowed, RouteNotFound } from '../lib/errors.ts';
import type { Operation } from '../operations/operation.ts';
import type { CallSlot } from './limiters.ts';

/** One request and its answer: what the doors know of it and what its log line tells. */
export interface Exchange {
  readonly id: string;
  readonly startedMs: number;
  /** Of the other end of the connection. */
  readonly peer: string;
  /** Of the client: the peer, or whom a trusted proxy names. */
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly deadline: Deadline;
  principal: string;
  /** What the call holds of its token's share. */
  slot?: CallSlot;
  op?: string;
  session?: string;
  outcome?: string;
  exitCode?: number | null;
  /** What a call was refused with, or failed with, where the HTTP status does not tell. */
  error?: unknown;
}

export interface HttpExchange extends Exchange {
  readonly request: Request;
}

/** The exchange of a request that has just come. */
export function beginExchange(request: Request, peer: string, address: string, replySeconds: number): HttpExchange {
  const { method, url } = request;
  return { request, principal: '', ...begun({ peer, address, method, path: loggedPath(pathOf(url)) }, replySeconds) };
}

/** The exchange of a call that came from a local client, not over HTTP. */
export function localExchange(principal: string, method: string, replySeconds: number): Exchange {
  return { principal, ...begun({ peer: 'stdio', address: 'stdio', method, path: '' }, replySeconds) };
}

/** The exchange of a call that the hub of this server has passed on. */
export function hubExchange(
  id: string,
  principal: string,
  address: string,
  op: string,
  replySeconds: number,
): Exchange {
  return { principal, ...begun({ peer: 'hub', address, method: 'hub', path: op }, replySeconds), id };
}

function begun(from: Pick<Exchange, 'peer' | 'address' | 'method' | 'path'>, replySeconds: number) {
  return { ...from, id: Bun.randomUUIDv7(), startedMs: performance.now(), deadline: Deadline.after(replySeconds) };
}

/** What stands behind this in a path is the secret of a link. */
const SECRET_IN_PATH = /(transfer(?:\/|%2f)).+/i;

/** A path as the log shows it. */
export function loggedPath(path: string): string {
  return path.replace(SECRET_IN_PATH, '$1…');
}

/** Runs an operation for an exchange, which then tells of it; gives the answer as its door does. Throws what the operation throws. */
export async function invokeFor(
  exchange: Exchange,
  operation: Operation,
  args: unknown,
  call: Omit<Call, 'principal' | 'address' | 'deadline' | 'request'>,
): Promise<Answer> {
  exchange.op = operation.name;
  noteSession(exchange, args);
  const { principal, address, deadline } = exchange;
  const answer = await operation.invoke(args, { ...call, principal, address, deadline, request: exchange.id });
  noteAnswer(exchange, answer);
  return call.isLean ? leanAnswer(answer) : answer;
}

/** The session that a call names, for its log line; only what looks like an id, so that nothing else gets into the log. */
export function noteSession(exchange: Exchange, args: unknown): void {
  if (typeof args !== 'object' || args === null || !('session' in args)) return;
  if (typeof args.session === 'string' && /^[0-9a-fA-F-]{36}(?:@[a-zA-Z2-7]{8})?$/.test(args.session))
    exchange.session = args.session;
}

function noteAnswer(exchange: Exchange, answer: Answer): void {
  const { session, status, exit_code } = answer;
  if (typeof session === 'string') exchange.session = session;
  if (typeof status === 'string') exchange.outcome = status;
  if (typeof exit_code === 'number' || exit_code === null) exchange.exitCode = exit_code;
}

/** The URL of a request; on `localhost` where its Host header is missing or cannot be one (`::1` without brackets). */
export function urlOf(url: string): URL {
  return URL.parse(url) ?? new URL(`http://localhost${targetOf(url)}`);
}

/** The path of a request, without its query. */
export function pathOf(url: string): string {
  const target = targetOf(url);
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** What a request names behind the host. Without a Host header, Bun gives it alone. */
function targetOf(url: string): string {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('//') + 2);
  return start === -1 ? '/' : url.slice(start);
}

interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly message?: string };
}

/** Turns whatever was thrown into JSON. The only place that does; nothing of an unexpected error reaches the client. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof AgentError)) return isOutOfFiles(error) ? OUT_OF_FILES : UNEXPECTED;
  const message = error.hint === undefined ? {} : { message: error.hint };
  return { status: error.status, headers: error.headers, body: { error: error.error, ...message } };
}

const UNEXPECTED: Problem = {
  status: 500,
  headers: {},
  body: {
    error: 'Internal error',
    message:
      'Agent3 failed on this call; the log of the server has the details. A command may have been started: look with read_session or ps before you repeat it.',
  },
};

/** In the middle of a call: one that starts a command says that nothing was run, by `TooManyFiles`. */
const OUT_OF_FILES: Problem = {
  status: 503,
  headers: {},
  body: {
    error: 'Not available',
    message:
      'The agent has as many files open as it may, so this call was not done. Repeat it in some seconds, with fewer calls at once; list_sessions shows which commands run.',
  },
};

/** Whether the owner should see the stack: everything but refusals that the client caused. */
export function isUnexpected(error: unknown): boolean {
  return !(error instanceof AgentError) || error.cause !== undefined;
}

/** What to answer where no route fits: the path is unknown, or known with other methods. */
export function noRoute(method: string, path: string, methodsOf: ReadonlyMap<string, readonly string[]>): AgentError {
  const allowed = methodsOf.get(path);
  // A path with a detour (`/./shell`) was read as another by whoever asked for its methods.
  if (allowed === undefined || allowed.includes(method))
    return new RouteNotFound(`There is nothing at this path. POST / takes {"op","args"}.`);
  return new MethodNotAllowed(allowed.join(', '), `${path} takes ${allowed.join(' or ')}, not ${method}.`);
}
