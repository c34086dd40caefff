import { Elysia } from 'elysia';
import type { Followers } from '../calls/follow.ts';
import type { AddressList } from '../lib/address-list.ts';
import { GuessingRefused, ShuttingDown, Unauthorized } from '../lib/errors.ts';
import type { SignalOnce } from '../lib/signal-once.ts';
import type { Turns } from '../lib/turns.ts';
import type { Operation } from '../operations/operation.ts';
import type { AccessLog, Ending } from './access-log.ts';
import type { Authenticator } from './auth.ts';
import { type BodyReading, readJson, readJsonOrNothing, refuseLargeBody } from './body.ts';
import type { CallLimiter } from './call-limiter.ts';
import { clientAddress } from './client-address.ts';
import { DOCS_PATHS, docsFile, hasFile } from './docs.ts';
import { beginExchange, type Exchange, exchangeOf, invokeFor, noteSession } from './exchange.ts';
import { authorizeMetrics, type MetricsParts, metricsText } from './metrics.ts';
import { type Door, doorOf, openApiDocument, requestOrigin } from './openapi.ts';
import type { Pace } from './pace.ts';
import { noRoute, problemOf } from './problems.ts';
import { parseRpc } from './rpc.ts';
import { openStream } from './stream.ts';

/** What the doors work with. */
export interface AppParts extends MetricsParts {
  readonly operations: readonly Operation[];
  readonly followers: Followers;
  readonly auth: Authenticator;
  readonly pace: Pace;
  readonly calls: CallLimiter;
  readonly turns: Turns;
  readonly accessLog: AccessLog;
  readonly shutdown: SignalOnce;
  readonly replySeconds: number;
  readonly maxReplyChars: number;
  readonly trustedProxies: AddressList;
  readonly publicUrl: string | undefined;
  readonly mcp: McpDoor;
}

/** The door of MCP, which is built beside this one. */
export interface McpDoor {
  readonly methods: readonly string[];
  /**
   * Answers a request to `/mcp`. `done` is called when the answer is out, with its status and bytes. Throws an
   * `AgentError` for a foreign page, a body that is no JSON and a session that is over.
   */
  answer(
    request: Request,
    exchange: Exchange,
    reading: BodyReading,
    done: (status: number, bytes: number) => void,
  ): Promise<Response>;
}

const STREAM_PATH = /^\/sessions\/[^/]+\/stream$/;

/** Every path and its methods: what `Allow` names. */
function methodsOf({ operations, mcp }: AppParts): ReadonlyMap<string, readonly string[]> {
  return new Map<string, readonly string[]>([
    ['/', ['POST']],
    ['/healthz', ['GET', 'HEAD']],
    ['/openapi.json', ['GET']],
    ['/metrics', ['GET']],
    ['/sessions/:id/stream', ['GET']],
    ...DOCS_PATHS.map((path): [string, string[]] => [path, ['GET', 'HEAD']]),
    ['/mcp', mcp.methods],
    ...operations.map(({ name }): [string, string[]] => [`/${name}`, ['POST']]),
  ]);
}

/** The whole HTTP side of the agent, without a socket. */
export function createApp(parts: AppParts) {
  const operations = new Map(parts.operations.map((operation) => [operation.name, operation]));
  const methods = methodsOf(parts);
  // A path is what the table says and nothing else: `/metrics/` is another.
  const app = new Elysia({ name: 'agent3', strictPath: true })
    .onError({ as: 'global' }, ({ error, request }) => failed(parts, request, error))
    .onRequest(({ request, server }) => {
      const peer = server?.requestIP(request)?.address ?? 'unknown';
      beginExchange(request, peer, clientAddress(peer, request.headers, parts.trustedProxies), parts.replySeconds);
    })
    .get('/healthz', ({ request }) => health(parts, request))
    .head('/healthz', ({ request }) => health(parts, request))
    .get('/openapi.json', ({ request }) => publicly(parts, request, () => openApi(parts, request)))
    .get('/metrics', ({ request }) => metrics(parts, request))
    .get('/sessions/:id/stream', ({ request, params: { id } }) => {
      return admitted(parts, request, () => stream(parts, request, id));
    })
    .post('/', ({ request }) => admitted(parts, request, () => rpc(parts, operations, request)), { parse: 'none' })
    .post('/mcp', ({ request }) => admitted(parts, request, () => mcp(parts, request)), { parse: 'none' })
    .delete('/mcp', ({ request }) => admitted(parts, request, () => mcp(parts, request)))
    // What has no route, wants the token before it says so.
    .all('/*', ({ request }) => admitted(parts, request, () => nothingHere(request, methods)), { parse: 'none' })
    .all('/', ({ request }) => admitted(parts, request, () => nothingHere(request, methods)), { parse: 'none' });
  for (const path of DOCS_PATHS) {
    const page = (request: Request) => publicly(parts, request, () => docs(parts, path, request));
    app.get(path, ({ request }) => page(request)).head(path, ({ request }) => page(request));
  }
  for (const path of OPEN_PATHS) {
    app.all(path, ({ request }) => publicly(parts, request, () => nothingHere(request, methods)), { parse: 'none' });
  }
  for (const operation of parts.operations) {
    const call = (request: Request) => admitted(parts, request, () => flat(parts, operation, request));
    app.post(`/${operation.name}`, ({ request }) => call(request), { parse: 'none' });
  }
  return app;
}

/** Paths that everybody may know of: with another method they say which ones they take. */
const OPEN_PATHS = ['/healthz', '/openapi.json', '/metrics', ...DOCS_PATHS];

type Answering = () => Response | Promise<Response>;

/**
 * Lets `answer` answer who has a token, before anything else of the request is looked at. The call holds its slot until
 * the answer is there. Throws `Unauthorized`, `TooManyRequests`.
 */
async function admitted(parts: AppParts, request: Request, answer: Answering): Promise<Response> {
  const exchange = theExchange(request);
  exchange.principal = parts.auth.authenticate(request.headers, exchange.address);
  parts.pace.demand(exchange.principal);
  using slot = parts.calls.acquire(exchange.principal);
  exchange.slot = slot;
  return await publicly(parts, request, answer);
}

/** Lets `answer` answer everybody. Throws `ShuttingDown`, and `RequestTooLarge`. */
function publicly(parts: AppParts, request: Request, answer: Answering): Response | Promise<Response> {
  if (parts.shutdown.fired) throw new ShuttingDown();
  refuseLargeBody(request.headers);
  return answer();
}

/** The one route that answers during a shutdown too. */
function health(parts: AppParts, request: Request): Response {
  const stopping = parts.shutdown.fired;
  const body = { status: stopping ? 'shutting down' : 'ok', version: parts.version };
  return respond(parts, request, stopping ? 503 : 200, body);
}

/** Their text without the brace at its end; made when it is first asked for: most agents serve it once in their life. */
const documents = new WeakMap<AppParts, Map<Door, Promise<string>>>();

async function openApi(parts: AppParts, request: Request): Promise<Response> {
  const door = doorOf(request.url);
  const made = documents.get(parts) ?? new Map<Door, Promise<string>>();
  documents.set(parts, made);
  const document = made.get(door) ?? documentText(parts, door);
  made.set(door, document);
  const isFromProxy = parts.trustedProxies.has(theExchange(request).peer);
  // The page calls the agent that it was loaded from: its policy allows no other, whatever the public URL is.
  const server =
    door === 'docs'
      ? { url: '.', description: 'the agent that this page came from' }
      : { url: parts.publicUrl ?? requestOrigin(request.url, request.headers, isFromProxy) };
  const text = `${await document},"servers":${JSON.stringify([server])}}`;
  return send(parts, request, 200, text, Buffer.byteLength(text), { 'content-type': 'application/json' });
}

async function documentText(parts: AppParts, door: Door): Promise<string> {
  return JSON.stringify(await openApiDocument(parts.operations, door, parts.version)).slice(0, -1);
}

/** A part of the page for people. */
async function docs(parts: AppParts, path: string, request: Request): Promise<Response> {
  const file = await docsFile(path);
  if (hasFile(request.headers, file)) return send(parts, request, 304, null, 0, file.headers);
  return send(parts, request, 200, file.body, file.bytes, file.headers);
}

/** The door of the original: `{"op","args"}`. */
async function rpc(parts: AppParts, operations: ReadonlyMap<string, Operation>, request: Request): Promise<Response> {
  const { operation, args } = parseRpc(await readJson(request, readingOf(parts, request)), operations);
  return invoke(parts, operation, args, request);
}

/** One route per operation: the body is the arguments themselves, and may be empty. */
async function flat(parts: AppParts, operation: Operation, request: Request): Promise<Response> {
  return invoke(parts, operation, await readJsonOrNothing(request, readingOf(parts, request)), request);
}

function readingOf({ pace, shutdown, turns }: AppParts, request: Request): BodyReading {
  const { deadline, principal, slot } = theExchange(request);
  const count = (bytes: number): void => {
    slot?.grow(bytes);
    pace.demandText(principal, bytes);
  };
  return { deadline, shutdown, count, turn: () => turns.take(principal) };
}

async function invoke(parts: AppParts, operation: Operation, args: unknown, request: Request): Promise<Response> {
  const answer = await invokeFor(theExchange(request), operation, args, { shutdown: parts.shutdown });
  return respond(parts, request, 200, answer);
}

/** A stream ends with its command, not with the reply window; its log line is written then. */
function stream(parts: AppParts, request: Request, id: string): Response {
  const exchange = theExchange(request);
  exchange.op = 'stream';
  noteSession(exchange, { session: id });
  const { response, over, bytes } = openStream(parts.followers, id, exchange, request, parts.shutdown);
  response.headers.set('x-request-id', exchange.id);
  over.subscribe(() => log(parts, exchange, { status: 200, bytes: bytes(), error: undefined }));
  return response;
}

/** MCP's Streamable HTTP. Its answers are streams, whose log line is written when they have ended. */
function mcp(parts: AppParts, request: Request): Promise<Response> {
  const exchange = theExchange(request);
  return parts.mcp.answer(request, exchange, readingOf(parts, request), (status, bytes) =>
    log(parts, exchange, { status, bytes, error: exchange.error }),
  );
}

/** For this machine, and for who has the token of the metrics. */
function metrics(parts: AppParts, request: Request): Response | Promise<Response> {
  const { peer, address } = theExchange(request);
  authorizeMetrics(parts, request.headers, peer, address);
  return publicly(parts, request, async () => {
    const { text, type } = await metricsText(parts);
    return send(parts, request, 200, text, Buffer.byteLength(text), { 'content-type': type });
  });
}

function theExchange(request: Request): Exchange {
  const exchange = exchangeOf(request);
  if (exchange === undefined) throw new Error('a request reached its route without passing onRequest');
  return exchange;
}

function nothingHere(request: Request, methods: ReadonlyMap<string, readonly string[]>): never {
  const { method, path } = theExchange(request);
  throw noRoute(method, STREAM_PATH.test(path) ? '/sessions/:id/stream' : path, methods);
}

function failed(parts: AppParts, request: Request, error: unknown): Response {
  const problem = problemOf(error);
  return respond(parts, request, problem.status, problem.body, problem.headers, error);
}

/** Every answer but a stream and the parts of `/docs`: JSON. */
function respond(
  parts: AppParts,
  request: Request,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  error?: unknown,
): Response {
  const text = JSON.stringify(body);
  const all = { 'content-type': 'application/json', ...headers };
  return send(parts, request, status, text, Buffer.byteLength(text), all, error);
}

/** Every answer but a stream leaves through here, with its log line. */
function send(
  parts: AppParts,
  request: Request,
  status: number,
  body: string | Blob | null,
  bytes: number,
  headers: Readonly<Record<string, string>>,
  error?: unknown,
): Response {
  const exchange = exchangeOf(request);
  log(parts, exchange, { status, bytes, error });
  return new Response(body, { status, headers: { 'x-request-id': exchange?.id ?? '', ...headers } });
}

/** Writes the line of an answer that leaves now. */
function log(parts: AppParts, exchange: Exchange | undefined, ending: Omit<Ending, 'durationMs'>): void {
  const durationMs = exchange === undefined ? 0 : performance.now() - exchange.startedMs;
  // After the answer has left: nobody waits for a log line.
  setImmediate(() => {
    parts.counters.request(exchange?.op, ending.status ?? 0, durationMs / 1000);
    if (isFailedLogin(ending.error)) parts.counters.failedLogin();
    parts.accessLog.write(exchange, { ...ending, durationMs });
  });
}

function isFailedLogin(error: unknown): boolean {
  return error instanceof Unauthorized || error instanceof GuessingRefused;
}
