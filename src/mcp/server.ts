import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
  type RequestId,
  type ServerNotification,
  type ServerRequest,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';
import type { CallLimiter } from '../http/call-limiter.ts';
import { type Exchange, invokeFor } from '../http/exchange.ts';
import { problemOf } from '../http/problems.ts';
import { SignalOnce } from '../lib/signal-once.ts';
import type { Operation } from '../operations/operation.ts';
import { ProgressReport } from './progress.ts';
import { toolSchema } from './schema.ts';

/** What every MCP server works with, whatever carries its messages. */
export interface McpServerParts {
  readonly operations: readonly Operation[];
  readonly calls: CallLimiter;
  readonly shutdown: SignalOnce;
  /** Every message has fewer characters than this. */
  readonly maxReplyChars: number;
  readonly version: string;
}

/** The client at the other end. */
export interface McpPeer {
  /** Fires when the transport is closed, before the calls under way are told: that is no cancellation. */
  readonly closed: SignalOnce;
  /** The exchange that a call belongs to, by what the transport said of its message. */
  begin(auth: AuthInfo | undefined): Exchange;
  /** The call is over. One that the client took back gets no answer. */
  end(exchange: Exchange, call: { readonly id: RequestId; readonly cancelled: boolean }): void;
}

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** An MCP server with each operation as a tool, for one client. It has to be connected to a transport. */
export function mcpServer(parts: McpServerParts, peer: McpPeer): Server {
  const operations = new Map(parts.operations.map((operation) => [operation.name, operation]));
  const server = new Server(
    { name: 'agent3', title: 'Agent3', version: parts.version },
    // Nothing is asked of the client, so nothing it says is validated: the default would build an Ajv for each client.
    { capabilities: { tools: {} }, jsonSchemaValidator: { getValidator: neverValidates } },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: toolsOf(parts.operations) }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const operation = operations.get(params.name);
    if (operation === undefined) {
      const names = [...operations.keys()].join(', ');
      throw new McpError(ErrorCode.InvalidParams, `Unknown tool; there are ${names}`);
    }
    const exchange = peer.begin(extra.authInfo);
    const cancelled = cancellation(extra.signal, peer.closed);
    try {
      return await callTool(parts, operation, params.arguments, exchange, extra, cancelled);
    } finally {
      peer.end(exchange, { id: extra.requestId, cancelled: cancelled.fired });
    }
  });
  return server;
}

function neverValidates(): never {
  throw new Error('this server asks nothing of its clients');
}

/** The same for every client: made when it is first asked for. */
const tools = new WeakMap<readonly Operation[], Tool[]>();

function toolsOf(operations: readonly Operation[]): Tool[] {
  const made = tools.get(operations) ?? operations.map(tool);
  tools.set(operations, made);
  return made;
}

function tool({ name, summary, description, args, result, readOnly, mayDestroy }: Operation): Tool {
  return {
    name,
    title: summary,
    description,
    inputSchema: toolSchema(args),
    outputSchema: toolSchema(result),
    annotations: { title: summary, readOnlyHint: readOnly, destructiveHint: mayDestroy },
  };
}

async function callTool(
  parts: McpServerParts,
  operation: Operation,
  args: unknown,
  exchange: Exchange,
  extra: Extra,
  cancelled: SignalOnce,
): Promise<CallToolResult> {
  using progress = new ProgressReport(extra);
  using interruption = new Interruption([parts.shutdown, cancelled]);
  try {
    // A call goes on when its client has gone: it holds the slot of its request, and without one has its own.
    using _slot = exchange.slot?.keep() ?? parts.calls.acquire(exchange.principal);
    const answer = await invokeFor(exchange, operation, args, {
      shutdown: interruption.signal,
      cancelled,
      watch: (outputBytes) => progress.watch(outputBytes),
      maxReplyChars: Math.floor((parts.maxReplyChars - FRAME_CHARS) / COPIES),
    });
    return { content: [{ type: 'text', text: JSON.stringify(answer) }], structuredContent: { ...answer } };
  } catch (error) {
    exchange.error = error;
    exchange.outcome = 'refused';
    return { content: [{ type: 'text', text: errorText(error) }], isError: true };
  }
}

/** A message without the two copies of its answer. */
const FRAME_CHARS = 300;

/**
 * An answer is in its message twice: as structured content, and as text for clients that read no other, where escaping
 * what is escaped already at most doubles it.
 */
const COPIES = 3;

/** Fires when the client cancels the call; not when it is gone, because its commands go on then. */
function cancellation(signal: AbortSignal, closed: SignalOnce): SignalOnce {
  const cancelled = new SignalOnce();
  const fire = () => {
    if (!closed.fired) cancelled.fire();
  };
  signal.addEventListener('abort', fire, { once: true });
  if (signal.aborted) fire();
  return cancelled;
}

/** An event that happens with the first of several, for as long as a call goes on. */
class Interruption implements Disposable {
  readonly signal = new SignalOnce();
  readonly #unsubscribes: readonly (() => void)[];

  constructor(events: readonly SignalOnce[]) {
    this.#unsubscribes = events.map((event) => event.subscribe(() => this.signal.fire()));
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
  }
}

/** What went wrong and what to do instead. */
function errorText(error: unknown): string {
  const { body } = problemOf(error);
  return body.message === undefined ? body.error : `${body.error}: ${body.message}`;
}
