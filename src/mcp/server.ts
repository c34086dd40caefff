import {
  type CallToolResult,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type ServerContext,
  type TextContent,
  type Tool,
} from '@modelcontextprotocol/server';
import type { Answer, CallDeps } from '../calls/context.ts';
import { type Exchange, invokeFor, problemOf } from '../http/exchange.ts';
import type { CallLimiter } from '../http/limiters.ts';
import { listedArguments } from '../http/openapi.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { AccessLapsed } from '../lib/errors.ts';
import { instructionsFor } from '../operations/instructions.ts';
import { type Operation, offered, usableBy } from '../operations/operation.ts';

/** What every MCP server needs, for any transport. */
export interface McpServerDeps extends Pick<CallDeps, 'access'> {
  readonly operations: readonly Operation[];
  readonly calls: CallLimiter;
  readonly shutdown: OneShotEvent;
  /** Every message has fewer characters than this. */
  readonly maxReplyChars: number;
  readonly version: string;
}

/** A call from its transport. */
export interface McpCall {
  readonly exchange: Exchange;
  readonly cancelled: OneShotEvent;
  /** Whether the client can get progress before its answer. */
  readonly hearsProgress: boolean;
  end(): void;
}

/** Returns the call that a request of the protocol belongs to. */
export type BeginCall = (context: ServerContext) => McpCall;

/** Makes an MCP server with the operations that `principal` can use as tools. Connect it to a transport. */
export function mcpServer(deps: McpServerDeps, principal: string, begin: BeginCall): Server {
  const server = new Server(
    { name: 'agent3', title: 'Agent3', version: deps.version },
    {
      capabilities: { tools: {} },
      instructions: instructionsOf(deps, principal),
      // The server asks nothing of the client, so there is nothing to validate. The default would build a validator each time.
      jsonSchemaValidator: { getValidator: neverValidates },
      cacheHints: { 'tools/list': { ttlMs: TOOLS_TTL_MS, cacheScope: 'private' } },
    },
  );
  server.setRequestHandler('tools/list', async () => ({ tools: await toolsOf(deps, principal) }));
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const operation = deps.operations.find(({ name }) => name === params.name);
    if (operation === undefined) {
      const names = (await toolsOf(deps, principal)).map(({ name }) => name).join(', ');
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown tool. There are: ${names}`);
    }
    const call = begin(context);
    try {
      return await callTool(deps, operation, params.arguments, call, progressTo(context));
    } finally {
      call.end();
    }
  });
  return server;
}

/** How long a client may cache the list of tools. An upgrade or a new profile takes effect within this time. */
const TOOLS_TTL_MS = 300_000;

/** A client may connect even when its token may do nothing, and is told why. */
function instructionsOf(deps: McpServerDeps, principal: string): string {
  try {
    const { operations, profile } = usableBy(deps, principal);
    const names = operations.filter((one) => one.wasOffered()).map(({ name }) => name);
    return instructionsFor(names, profile);
  } catch (error) {
    if (error instanceof AccessLapsed) return error.message;
    throw error;
  }
}

function neverValidates(): never {
  throw new Error('this server asks nothing of its clients');
}

/** Each is made on first use. */
const tools = new WeakMap<Operation, Tool>();

/** Throws `ProtocolError` when the token may do nothing: a client would cache an empty list. */
async function toolsOf(deps: McpServerDeps, principal: string): Promise<Tool[]> {
  try {
    return (await offered(usableBy(deps, principal).operations)).map((operation) => {
      const made = tools.get(operation) ?? tool(operation);
      tools.set(operation, made);
      return made;
    });
  } catch (error) {
    if (error instanceof AccessLapsed) throw new ProtocolError(ProtocolErrorCode.InternalError, error.message);
    throw error;
  }
}

function tool(operation: Operation): Tool {
  const { name, summary, description, readOnly, mayDestroy, files } = operation;
  return {
    name,
    title: summary,
    description,
    inputSchema: toolSchema(operation),
    annotations: { readOnlyHint: readOnly, destructiveHint: mayDestroy },
    ...(files.length > 0 && { _meta: { 'openai/fileParams': files } }),
  };
}

/** Runs an operation for a call and sends progress by `send`. A refusal is an answer too. */
export async function callTool(
  deps: McpServerDeps,
  operation: Operation,
  args: unknown,
  { exchange, cancelled, hearsProgress }: McpCall,
  send?: SendProgress,
): Promise<CallToolResult> {
  using progress = new ProgressReport(hearsProgress ? send : undefined);
  using subscriptions = new DisposableStack();
  const interrupted = new OneShotEvent();
  for (const event of [deps.shutdown, cancelled]) subscriptions.defer(event.subscribe(() => interrupted.fire()));
  try {
    // A call continues when its client has disconnected. It holds the slot of its request, or one of its own.
    using _slot = exchange.slot?.keep() ?? deps.calls.acquire(exchange.principal);
    const answer = await invokeFor(exchange, operation, args, {
      shutdown: interrupted,
      cancelled,
      watch: (outputBytes) => progress.watch(outputBytes),
      maxReplyChars: roomFor(deps.maxReplyChars, operation, args),
      isLean: true,
    });
    return toolResult(answer);
  } catch (error) {
    exchange.error = error;
    exchange.outcome = 'refused';
    return toolRefusal(error);
  }
}

/** Returns a message without the text of its answer. */
const FRAME_CHARS = 400;

/** The fields of an answer are JSON within JSON, so their quotes and backslashes take twice as much: so many there are. */
const ESCAPES = 4000;

/** The fields whose text is the first block of an answer as it is. */
const TEXTS = ['stdout', 'content', 'diff'];

/** Characters of JSON that an answer may have, so that its message fits. */
function roomFor(maxChars: number, { result }: Operation, args: unknown): number {
  const isText = TEXTS.some((name) => name in result.properties) && !hasMatch(args);
  // What is fields alone is JSON within JSON as a whole, which at most doubles it.
  return isText ? maxChars - FRAME_CHARS - ESCAPES : Math.floor((maxChars - FRAME_CHARS) / 2);
}

function hasMatch(args: unknown): boolean {
  return typeof args === 'object' && args !== null && 'match' in args && args.match !== null;
}

function progressTo({ mcpReq }: ServerContext): SendProgress | undefined {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return undefined;
  return (progress) => mcpReq.notify({ method: 'notifications/progress', params: { progressToken, ...progress } });
}

/** A signal that fires with an `AbortSignal`. */
export function firesWith(signal: AbortSignal): OneShotEvent {
  const once = new OneShotEvent();
  if (signal.aborted) once.fire();
  else signal.addEventListener('abort', () => once.fire(), { once: true });
  return once;
}

/** How often a client that asks for it hears of a command that runs. */
const INTERVAL_MS = 1000;

interface Progress {
  readonly progress: number;
  readonly message: string;
}

type SendProgress = (progress: Progress) => Promise<void>;

/** Reports once a second how long a command has run and what it has written, until it is disposed of. */
class ProgressReport implements Disposable {
  #timer: Timer | undefined;

  /** Without `send`, nobody wants to hear of it. */
  constructor(private readonly send: SendProgress | undefined) {}

  watch(outputBytes: () => number): void {
    const { send } = this;
    if (send === undefined || this.#timer !== undefined) return;
    let seconds = 0;
    const report = async () => {
      seconds++;
      await send({ progress: seconds, message: `running for ${seconds} s, ${outputBytes()} bytes of output so far` });
    };
    // A client that is gone, or output that was removed, ends the reports; the command continues.
    this.#timer = setInterval(() => void report().catch(() => this[Symbol.dispose]()), INTERVAL_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The schema of a tool's arguments, as MCP lists it. */
function toolSchema(operation: Operation): Tool['inputSchema'] {
  // By way of its text, what is only read here becomes the client's own.
  return { ...JSON.parse(JSON.stringify(listedArguments(operation))), type: 'object' };
}

/**
 * The form of a lean answer in MCP: text alone. First the standard output as it is, then the standard error under a line
 * `[stderr]`, last one line of JSON with the other fields that say something. Several hosts show the model nothing but
 * `structuredContent` where there is some, and others nothing of it.
 */
function toolResult({ stdout, content, diff, stderr, exit_code, ...fields }: Answer): CallToolResult {
  const rest = { ...(exit_code !== undefined && exit_code !== 0 && { exit_code }), ...fields };
  const texts = [
    ...[stdout, content, diff].filter((text) => typeof text === 'string'),
    ...(typeof stderr === 'string' ? [`[stderr]\n${stderr}`] : []),
    ...(Object.keys(rest).length === 0 ? [] : [JSON.stringify(rest)]),
  ];
  return { content: texts.map(textBlock) };
}

/** A refusal: what went wrong and what to do instead. */
function toolRefusal(error: unknown): CallToolResult {
  const { body } = problemOf(error);
  const text = body.message === undefined ? body.error : `${body.error}: ${body.message}`;
  return { content: [textBlock(text)], isError: true };
}

function textBlock(text: string): TextContent {
  return { type: 'text', text };
}
