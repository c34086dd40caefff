import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { ErrorCode } from '@modelcontextprotocol/sdk/types.js';
import type { Exchange } from '../http/exchange.ts';
import type { Pace } from '../http/pace.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { InvalidRequest, SessionNotFound, TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';
import { SignalOnce } from '../lib/signal-once.ts';
import type { Turns } from '../lib/turns.ts';
import { type McpPeer, type McpServerParts, mcpServer } from './server.ts';

/**
 * Clients at once, of all tokens. Most never say that they leave: where a token has its share, its own client that was
 * silent for longest makes room for a new one.
 */
const MAX_SESSIONS = 100;

/** A client that was silent for longer has to introduce itself again: as long as a session of a command is kept. */
const IDLE_MS = 24 * 3_600_000;

const RETRY_SECONDS = 10;

/**
 * A batch is one request with many messages, as revisions before 2025-06-18 have them: each message costs what a request
 * costs, so there are few in one.
 */
const MAX_BATCH = 10;

/** What the sessions work with. */
export interface McpSessionsParts extends McpServerParts {
  readonly pace: Pace;
  readonly turns: Turns;
}

/** Told when an answer is out, or its client is gone. */
export type AnswerDone = (status: number, bytes: number) => void;

/** A client that has introduced itself: the server that answers it, and its requests under way. */
interface McpSession {
  readonly principal: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  /** Gives its slot back. */
  readonly release: () => void;
  usedMs: number;
  pending: number;
}

/** The MCP clients of this agent. In memory: after a restart they introduce themselves again. */
export class McpSessions {
  /** By the id that the client sends; the one used last stands last. */
  readonly #sessions = new Map<string, McpSession>();
  readonly #slots = new Shares(MAX_SESSIONS);

  constructor(
    private readonly parts: McpSessionsParts,
    private readonly clock: Clock = systemClock,
  ) {}

  /**
   * Answers a request with what the transport makes of it; `done` is called when the answer is out. Its slot is held
   * until then, and every message of a batch counts as a request. Throws `TooManyRequests`, and what `#find` throws.
   */
  async answer(request: Request, body: unknown, exchange: Exchange, done: AnswerDone): Promise<Response> {
    const messages = Array.isArray(body) ? body.length : 1;
    if (messages > MAX_BATCH) return batchRefusal(messages, exchange, done);
    if (messages > 1) {
      this.parts.pace.demand(exchange.principal, messages - 1);
      exchange.slot?.add(messages - 1);
    }
    const session = isInitialize(body) ? await this.#begin(exchange) : this.#find(request.headers, exchange.principal);
    const auth: AuthInfo = { token: '', clientId: exchange.principal, scopes: [] };
    exchanges.set(auth, exchange);
    session.pending++;
    const slot = exchange.slot?.keep();
    // What the messages of a request ask for is one piece of work: however many come, no other token waits for them.
    await this.parts.turns.take(exchange.principal);
    const response = await session.transport.handleRequest(request, { parsedBody: body, authInfo: auth });
    // It was no client that introduced itself after all.
    if (session.transport.sessionId === undefined) session.release();
    return watched(response, { 'x-request-id': exchange.id }, (bytes) => {
      session.pending--;
      slot?.[Symbol.dispose]();
      session.usedMs = this.clock.elapsed();
      done(response.status, bytes);
    });
  }

  /** A session for a client that introduces itself; it counts as soon as the transport has given it an id. */
  async #begin({ principal }: Exchange): Promise<McpSession> {
    this.#makeRoom(principal);
    const closed = new SignalOnce();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void this.#sessions.set(id, session),
    });
    const release = this.#slots.acquire(principal);
    const session: McpSession = { principal, transport, release, usedMs: this.clock.elapsed(), pending: 0 };
    transport.onclose = () => {
      closed.fire();
      release();
      if (transport.sessionId !== undefined) this.#sessions.delete(transport.sessionId);
    };
    const peer: McpPeer = {
      closed,
      begin: exchangeOfCall,
      // The transport would hold the stream of a call without an answer open for good.
      end: (_exchange, { id, cancelled }) => {
        if (cancelled) transport.closeSSEStream(id);
      },
    };
    await mcpServer(this.parts, peer).connect(transport);
    return session;
  }

  #find(headers: Headers, principal: string): McpSession {
    const id = headers.get('mcp-session-id');
    if (id === null) {
      throw new InvalidRequest('Send initialize first, then the Mcp-Session-Id of its answer with every request.');
    }
    const session = this.#sessions.get(id);
    if (session === undefined || session.principal !== principal || this.#isOver(session)) {
      throw new SessionNotFound('This MCP session is over. Send initialize again, without Mcp-Session-Id.');
    }
    session.usedMs = this.clock.elapsed();
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    return session;
  }

  /** Makes room for a client of `principal`. A token under its share loses no client to another. */
  #makeRoom(principal: string): void {
    for (const session of this.#sessions.values()) if (this.#isOver(session)) void session.transport.close();
    while (!this.#slots.hasRoom(principal)) {
      const own = this.#slots.usedBy(principal);
      // Without a client of its own it takes a slot from the token that has most of them.
      const owner = own > 0 ? principal : this.#slots.largestOwner();
      const idle = [...this.#sessions.values()].find((session) => session.principal === owner && session.pending === 0);
      if (idle === undefined || (own === 0 && this.#slots.usedBy(idle.principal) === 1)) {
        const why =
          own > 0
            ? `${own} MCP clients of this token wait for answers already, which is its share of the ${MAX_SESSIONS} at once`
            : `There are ${MAX_SESSIONS} MCP clients of other tokens already, which is all at once`;
        throw new TooManyRequests(RETRY_SECONDS, `${why}. Come back later.`);
      }
      void idle.transport.close();
    }
  }

  #isOver({ pending, usedMs }: McpSession): boolean {
    return pending === 0 && this.clock.elapsed() - usedMs > IDLE_MS;
  }
}

/** In the words of JSON-RPC, as the transport refuses what it cannot take. */
function batchRefusal(messages: number, { id }: Exchange, done: AnswerDone): Response {
  const message = `Invalid Request: a batch may have ${MAX_BATCH} messages, and this one has ${messages}. Send each in a request of its own.`;
  const text = JSON.stringify({ jsonrpc: '2.0', error: { code: ErrorCode.InvalidRequest, message }, id: null });
  done(400, Buffer.byteLength(text));
  return new Response(text, { status: 400, headers: { 'content-type': 'application/json', 'x-request-id': id } });
}

function isInitialize(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'method' in body && body.method === 'initialize';
}

/** The transport hands on to a call what came with its message: by that the call finds its exchange. */
const exchanges = new WeakMap<AuthInfo, Exchange>();

function exchangeOfCall(auth: AuthInfo | undefined): Exchange {
  const exchange = auth && exchanges.get(auth);
  if (exchange === undefined) throw new Error('a call reached its tool without passing the door');
  return exchange;
}

/** The same response with `headers` added; `done` hears how many bytes went out, when the last has or the client is gone. */
function watched(
  response: Response,
  headers: Readonly<Record<string, string>>,
  done: (bytes: number) => void,
): Response {
  const init = { status: response.status, headers: { ...Object.fromEntries(response.headers), ...headers } };
  if (response.body === null) {
    done(0);
    return new Response(null, init);
  }
  const reader = response.body.getReader();
  let bytes = 0;
  const counted = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { value, done: ended } = await reader.read();
      if (ended) {
        done(bytes);
        controller.close();
        return;
      }
      bytes += value.length;
      controller.enqueue(value);
    },
    cancel: async (reason) => {
      done(bytes);
      await reader.cancel(reason);
    },
  });
  return new Response(counted, init);
}
