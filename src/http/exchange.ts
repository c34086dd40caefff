import { leanAnswer } from '../calls/answer.ts';
import type { Answer, Call } from '../calls/context.ts';
import { Deadline } from '../lib/clock.ts';
import { AgentError, isOutOfFiles, MethodNotAllowed, RouteNotFound } from '../lib/errors.ts';
import type { Operation } from '../operations/operation.ts';
import type { CallSlot } from './limiters.ts';

/** One request and its answer, with what goes into its log line. */
export interface Exchange {
  readonly id: string;
  readonly startedMs: number;
  /** Address of the other end of the connection. */
  readonly peer: string;
  /** Address of the client: the peer, or the one that a trusted proxy names. */
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly deadline: Deadline;
  principal: string;
  /** The slot of the call. */
  slot?: CallSlot;
  op?: string;
  session?: string;
  outcome?: string;
  exitCode?: number | null;
  /** The error of a call, where the HTTP status does not show it. */
  error?: unknown;
}

export interface HttpExchange extends Exchange {
  readonly request: Request;
}

/** Begins the exchange of a new request. */
export function beginExchange(request: Request, peer: string, address: string, replySeconds: number): HttpExchange {
  const { method, url } = request;
  return { request, principal: '', ...begun({ peer, address, method, path: loggedPath(pathOf(url)) }, replySeconds) };
}

/** Makes the exchange of a call from a local client, not over HTTP. */
export function localExchange(principal: string, method: string, replySeconds: number): Exchange {
  return { principal, ...begun({ peer: 'stdio', address: 'stdio', method, path: '' }, replySeconds) };
}

/** Makes the exchange of a call that the hub of this server has passed on. */
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

/** In a path, the secret of a link follows this. */
const SECRET_IN_PATH = /(transfer(?:\/|%2f)).+/i;

/** A part of a path that may be a token: clients that are set up wrong send it there. The id of a session stays. */
const TOKEN_IN_PATH = /(?<=\/)(?![\da-fA-F-]{36}(?:@[a-zA-Z2-7]{8})?(?:\/|$))(?=[^/]*[A-Z\d])[^/]{24,}/g;

/** Returns a path for the log, without the secret of a link and without what may be a token. */
export function loggedPath(path: string): string {
  return path.replace(SECRET_IN_PATH, '$1…').replace(TOKEN_IN_PATH, '…');
}

/** Runs an operation for an exchange and returns its answer. Throws what the operation throws. */
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

/** Returns the session id of a call for its log line; undefined for anything that is not an id. */
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

/** Returns the URL of a request; on `localhost` when its Host header is missing or wrong (`::1` without brackets). */
export function urlOf(url: string): URL {
  return URL.parse(url) ?? new URL(`http://localhost${targetOf(url)}`);
}

/** Returns the path of a request, without its query. */
export function pathOf(url: string): string {
  const target = targetOf(url);
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** Returns the path and query of a request. Without a Host header, Bun has only these. */
function targetOf(url: string): string {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('//') + 2);
  return start === -1 ? '/' : url.slice(start);
}

interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly message?: string };
}

/** Converts an error into JSON, here only. The text of an unexpected error never reaches the client. */
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
      'Agent3 failed on this call. Details are in the log of the server. A command may have started: check with list_sessions or ps before you repeat it.',
  },
};

/** An error in the middle of a call. A call that starts a command throws `TooManyFiles` instead, and nothing was run. */
const OUT_OF_FILES: Problem = {
  status: 503,
  headers: {},
  body: {
    error: 'Not available',
    message:
      'The agent has reached its limit of open files, so this call was not done. Repeat it in some seconds, with fewer calls at once; list_sessions shows the running commands.',
  },
};

/** Returns true when the log needs the stack: for all errors but refusals that the client caused. */
export function isUnexpected(error: unknown): boolean {
  return !(error instanceof AgentError) || error.cause !== undefined;
}

/** Returns the error when no route matches: an unknown path, or a known path with another method. */
export function noRoute(method: string, path: string, methodsOf: ReadonlyMap<string, readonly string[]>): AgentError {
  const allowed = methodsOf.get(path);
  // A path such as `/./shell` was normalized by the caller.
  if (allowed === undefined || allowed.includes(method))
    return new RouteNotFound(`There is nothing at this path. POST / takes {"op","args"}.`);
  return new MethodNotAllowed(allowed.join(', '), `${path} takes ${allowed.join(' or ')}, not ${method}.`);
}
