import {
  type AuthInfo,
  createMcpHandler,
  isLegacyRequest,
  type McpHttpHandler,
  ProtocolErrorCode,
  preloadSchemas,
  SUPPORTED_PROTOCOL_VERSIONS,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
import { type Exchange, urlOf } from '../http/exchange.ts';
import type { RateLimiter } from '../http/limiters.ts';
import { OneShotEvent } from '../lib/clock.ts';
import type { Turns } from '../lib/shares.ts';
import type { Operation } from '../operations/operation.ts';
import {
  cancelledId,
  hasLongLabel,
  isInitialize,
  messagesOf,
  normalize,
  type PlainCall,
  plainCall,
  wantsProgress,
} from './message.ts';
import { callTool, firesWith, type McpCall, type McpServerDeps, mcpServer } from './server.ts';

/** Most messages of one request (revisions before 2025-06-18): each costs as much as a request. */
const MAX_BATCH = 10;

/** For the log: the client closed its connection before the answer. */
const CLIENT_GONE = 499;

/** What MCP over HTTP needs. */
export interface McpHttpDeps extends McpServerDeps {
  readonly rateLimiter: RateLimiter;
  readonly turns: Turns;
}

/** Called when an answer was sent, or its client has disconnected. */
export type AnswerDone = (status: number, bytes: number) => void;

/**
 * MCP's Streamable HTTP without sessions: only running calls are kept between requests, so clients survive a restart and
 * may send an old `Mcp-Session-Id`. Requests of 2026-07-28 go to the package's own handler. Older ones use its transport
 * here, because the package's fallback loses cancellations and takes a closed connection for one.
 */
export class McpHttp {
  readonly #modern: McpHttpHandler;
  /** Running calls of older clients, which a later message may cancel. */
  readonly #underWay = new Map<string, Set<OneShotEvent>>();

  constructor(
    private readonly deps: McpHttpDeps,
    private readonly newServer = mcpServer,
  ) {
    // Otherwise the first use makes them, which costs the first call 50 ms.
    preloadSchemas();
    this.#modern = createMcpHandler(
      ({ authInfo }) => {
        const caller = callerOf(authInfo);
        return newServer(deps, caller.exchange.principal, ({ mcpReq: { signal } }) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          caller.underWay = promise;
          const { exchange, takesStream } = caller;
          return { exchange, cancelled: firesWith(signal), hearsProgress: takesStream, end: resolve };
        });
      },
      { legacy: 'reject' },
    );
  }

  /** Answers a request. It holds its slot until the answer was sent, when `done` is called. Throws `TooManyRequests`. */
  async answer(request: Request, sent: unknown, exchange: Exchange, done: AnswerDone): Promise<Response> {
    const body = normalize(sent);
    const messages = messagesOf(body).length;
    if (messages > MAX_BATCH)
      return refusal(
        `a batch may have at most ${MAX_BATCH} messages, not ${messages}. Send each in its own request.`,
        exchange,
        done,
      );
    if (messagesOf(body).some(hasLongLabel))
      return refusal('an id or progressToken may have at most 256 characters.', exchange, done);
    if (messages > 1) {
      this.deps.rateLimiter.consume(exchange.principal, messages - 1);
      exchange.slot?.add(messages - 1);
    }
    const slot = exchange.slot?.keep();
    try {
      // All messages of a request count as one piece of work, so that no other token waits for them.
      await this.deps.turns.take(exchange.principal);
      const usual = isOlderVersion(request.headers) ? plainCall(body) : undefined;
      const operation = usual && this.deps.operations.find(({ name }) => name === usual.name);
      if (usual !== undefined && operation !== undefined) {
        const text = await this.#call(operation, usual, exchange, labelOf(request));
        slot?.[Symbol.dispose]();
        return jsonOf(200, text, exchange, done);
      }
      const caller: Caller = { exchange, takesStream: takesStream(request.headers) };
      const bare = withoutBody(request);
      const isOlder = await isLegacyRequest(bare, body);
      const { response, close } = await (isOlder ? this.#older(bare, body, caller) : this.#newer(bare, body, caller));
      return await watched(response, { 'x-request-id': exchange.id }, (bytes) => {
        slot?.[Symbol.dispose]();
        close();
        done(response.status, bytes);
      });
    } catch (error) {
      slot?.[Symbol.dispose]();
      throw error;
    }
  }

  /** The usual call of older clients, without the package, which would take 0.1 to 0.25 ms more. */
  async #call(operation: Operation, { id, args }: PlainCall, exchange: Exchange, label: string): Promise<string> {
    const call = this.#olderCall(exchange, label, id, false);
    try {
      const result = await callTool(this.deps, operation, args, call);
      return JSON.stringify({ jsonrpc: '2.0', id, result });
    } finally {
      call.end();
    }
  }

  /** The protocol of 2026-07-28: closing the stream of a call cancels it. */
  async #newer(request: Request, body: unknown, caller: Caller): Promise<Answered> {
    const authInfo: AuthInfo = { token: '', clientId: caller.exchange.principal, scopes: [] };
    callers.set(authInfo, caller);
    const { signal } = request;
    const gone = Promise.withResolvers<void>();
    if (signal.aborted) gone.resolve();
    else signal.addEventListener('abort', () => gone.resolve(), { once: true });
    const answered = this.#modern.fetch(request, { parsedBody: body, authInfo });
    // It may be refused with a closed connection when the client has disconnected.
    answered.catch(() => {});
    const response = await Promise.race([answered, gone.promise]);
    const close = () => {};
    if (!signal.aborted && response !== undefined) return { response, close };
    // A client that closed its connection gets no answer. Its exchange ends with its call.
    await caller.underWay;
    return { response: new Response(null, { status: CLIENT_GONE }), close };
  }

  /** Makes a server and a transport for one request. */
  async #older(request: Request, body: unknown, { exchange, takesStream }: Caller): Promise<Answered> {
    const messages = messagesOf(body);
    const label = labelOf(request);
    for (const message of messages) this.#cancel(exchange, label, cancelledId(message));
    const streams = takesStream && messages.some(wantsProgress);
    const server = this.newServer(this.deps, exchange.principal, ({ mcpReq: { id } }) =>
      this.#olderCall(exchange, label, id, streams),
    );
    const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: !streams });
    await server.connect(transport);
    const response = await transport.handleRequest(request, { parsedBody: body });
    // A label, not a session: clients send it back, so that each can cancel only its own calls.
    if (messages.some(isInitialize) && response.ok) response.headers.set('mcp-session-id', crypto.randomUUID());
    // Without this, memory grows with every answer.
    return { response, close: () => void server.close() };
  }

  #olderCall(exchange: Exchange, label: string, id: unknown, hearsProgress: boolean): McpCall {
    const key = callKey(exchange, label, id);
    const cancelled = new OneShotEvent();
    const same = this.#underWay.get(key) ?? new Set();
    this.#underWay.set(key, same.add(cancelled));
    const end = () => {
      same.delete(cancelled);
      if (same.size === 0 && this.#underWay.get(key) === same) this.#underWay.delete(key);
    };
    return { exchange, cancelled, hearsProgress, end };
  }

  #cancel(exchange: Exchange, label: string, id: unknown): void {
    if (id === undefined) return;
    const [call, ...others] = this.#underWay.get(callKey(exchange, label, id)) ?? [];
    // When two calls match, it is unclear which one is meant. A client must not stop a command of another.
    if (others.length === 0) call?.fire();
  }
}

interface Answered {
  readonly response: Response;
  /** Releases the slot; called when the answer was sent. */
  readonly close: () => void;
}

/** The sender of a request of 2026-07-28, and how it gets its answer. */
interface Caller {
  /** Resolves when its call has ended; undefined before it has begun. */
  underWay?: Promise<void>;
  readonly exchange: Exchange;
  /** It accepts a stream of events, which progress needs. */
  readonly takesStream: boolean;
}

/** Finds the caller of a call, by what the package passes on from its message. */
const callers = new WeakMap<AuthInfo, Caller>();

function callerOf(auth: AuthInfo | undefined): Caller {
  const caller = auth && callers.get(auth);
  if (caller === undefined) throw new Error('a call reached its tool without a caller');
  return caller;
}

/** Returns true for the headers of revisions before 2026-07-28. */
function isOlderVersion(headers: Headers): boolean {
  const version = headers.get('mcp-protocol-version');
  return (version === null || SUPPORTED_PROTOCOL_VERSIONS.includes(version)) && !headers.has('mcp-method');
}

/** Identifies the client, as far as it says: two clients of one token may use the same ids. Some send no session id. */
function labelOf({ headers }: Request): string {
  return headers.get('mcp-session-id') ?? `\0${headers.get('user-agent') ?? ''}`;
}

function takesStream(headers: Headers): boolean {
  const accept = headers.get('accept') ?? '*/*';
  return accept.includes('text/event-stream') || accept.includes('*/*');
}

/** Identifies a call of a client: two clients of one token may both have a request 1. */
function callKey({ principal }: Exchange, label: string, id: unknown): string {
  return JSON.stringify([principal, label, id]);
}

/** Makes a request for the package, which reads only headers: the body was read, and any `Accept` and `Content-Type` is accepted. */
function withoutBody({ url, method, headers, signal }: Request): Request {
  const sent = new Headers(headers);
  sent.set('accept', 'application/json, text/event-stream');
  sent.set('content-type', 'application/json');
  return new Request(urlOf(url).href, { method, headers: sent, signal });
}

/** Refuses a request with an error of JSON-RPC, as the package does. */
function refusal(why: string, exchange: Exchange, done: AnswerDone): Response {
  const error = { code: ProtocolErrorCode.InvalidRequest, message: `Invalid Request: ${why}` };
  return jsonOf(400, JSON.stringify({ jsonrpc: '2.0', error, id: null }), exchange, done);
}

function jsonOf(status: number, text: string, { id }: Exchange, done: AnswerDone): Response {
  done(status, Buffer.byteLength(text));
  return new Response(text, { status, headers: { 'content-type': 'application/json', 'x-request-id': id } });
}

/** Returns the response with more `headers`. Calls `done` with the number of bytes sent, at the end or when the client disconnects. */
async function watched(
  response: Response,
  headers: Readonly<Record<string, string>>,
  done: (bytes: number) => void,
): Promise<Response> {
  const init = { status: response.status, headers: { ...Object.fromEntries(response.headers), ...headers } };
  if (response.body === null) {
    done(0);
    return new Response(null, init);
  }
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
    // The answer is complete. As a stream, it would cost 0.1 ms more.
    const whole = await response.text();
    done(Buffer.byteLength(whole));
    return new Response(whole, init);
  }
  let bytes = 0;
  const counter: Transformer<Uint8Array, Uint8Array> & { cancel(): void } = {
    transform: (chunk, controller) => {
      bytes += chunk.length;
      controller.enqueue(chunk);
    },
    flush: () => done(bytes),
    cancel: () => done(bytes),
  };
  return new Response(response.body.pipeThrough(new TransformStream(counter)), init);
}
