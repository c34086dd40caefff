import { Elysia } from 'elysia';
import type { AddressList } from '../core/address-list.ts';
import { ShuttingDown } from '../core/errors.ts';
import type { SignalOnce } from '../core/signal-once.ts';
import type { Logger } from '../log/log.ts';
import type { Followers } from '../operations/follow.ts';
import type { Operation } from '../operations/operation.ts';
import { type Ending, logExchange } from './access-log.ts';
import type { Authenticator } from './auth.ts';
import { readJson, readJsonOrNothing, refuseLargeBody } from './body.ts';
import { clientAddress } from './client-address.ts';
import { DOCS_PATHS, docsFile, hasFile } from './docs.ts';
import { beginExchange, type Exchange, exchangeOf, invokeFor, noteSession } from './exchange.ts';
import { answerMcp, MCP_METHODS } from './mcp.ts';
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
  readonly logger: Logger;
  readonly shutdown: SignalOnce;
  readonly replySeconds: number;
  readonly maxReplyChars: number;
  readonly trustedProxies: AddressList;
  readonly publicUrl: string | undefined;
}

/** Paths that take no token, because they hold no secret. */
const PUBLIC_PATHS: ReadonlySet<string> = new Set(['/healthz', '/openapi.json', ...DOCS_PATHS]);

const STREAM_PATH = /^\/sessions\/[^/]+\/stream$/;

/** Every path and its methods: what `Allow` names. */
function methodsOf(operations: readonly Operation[]): ReadonlyMap<string, readonly string[]> {
  return new Map<string, readonly string[]>([
    ['/', ['POST']],
    ['/healthz', ['GET', 'HEAD']],
    ['/openapi.json', ['GET']],
    ['/metrics', ['GET']],
    ['/sessions/:id/stream', ['GET']],
    ...DOCS_PATHS.map((path): [string, string[]] => [path, ['GET', 'HEAD']]),
    ['/mcp', MCP_METHODS],
    ...operations.map(({ name }): [string, string[]] => [`/${name}`, ['POST']]),
  ]);
}

/** The whole HTTP side of the agent, without a socket. */
export function createApp(parts: AppParts) {
  const operations = new Map(parts.operations.map((operation) => [operation.name, operation]));
  const methods = methodsOf(parts.operations);
  const app = new Elysia({ name: 'agent3' })
    .onError({ as: 'global' }, ({ error, request }) => failed(parts, request, error))
    // Before routing and before the body is looked at: it covers unknown paths as well.
    .onRequest(({ request, server }) => {
      const peer = server?.requestIP(request)?.address ?? 'unknown';
      const address = clientAddress(peer, request.headers, parts.trustedProxies);
      const exchange = beginExchange(request, address, parts.replySeconds);
      if (exchange.path === '/metrics') authorizeMetrics(parts, request.headers, peer, address);
      else if (!PUBLIC_PATHS.has(exchange.path)) {
        exchange.principal = parts.auth.authenticate(request.headers, address);
        parts.pace.demand(exchange.principal);
      }
      if (parts.shutdown.fired && exchange.path !== '/healthz') {
        throw new ShuttingDown();
      }
      refuseLargeBody(request.headers);
    })
    .get('/healthz', ({ request }) => health(parts, request))
    .head('/healthz', ({ request }) => health(parts, request))
    .get('/openapi.json', ({ request, server }) => openApi(parts, request, server?.requestIP(request)?.address ?? ''))
    .get('/metrics', ({ request }) => metrics(parts, request))
    .get('/sessions/:id/stream', ({ request, params: { id } }) => stream(parts, request, id))
    .post('/', ({ request }) => rpc(parts, operations, request), { parse: 'none' })
    .post('/mcp', ({ request, server }) => mcp(parts, request, server?.requestIP(request)?.address ?? ''), {
      parse: 'none',
    })
    .delete('/mcp', ({ request, server }) => mcp(parts, request, server?.requestIP(request)?.address ?? ''))
    .all('/*', ({ request }) => nothingHere(request, methods), { parse: 'none' })
    .all('/', ({ request }) => nothingHere(request, methods), { parse: 'none' });
  for (const path of DOCS_PATHS) {
    app.get(path, ({ request }) => docs(parts, path, request)).head(path, ({ request }) => docs(parts, path, request));
  }
  for (const operation of parts.operations) {
    app.post(`/${operation.name}`, ({ request }) => flat(parts, operation, request), { parse: 'none' });
  }
  return app;
}

function health(parts: AppParts, request: Request): Response {
  const stopping = parts.shutdown.fired;
  const body = { status: stopping ? 'shutting down' : 'ok', version: parts.version };
  return respond(parts, request, stopping ? 503 : 200, body);
}

/** Made when it is first asked for: most agents serve it once in their life. */
const documents = new WeakMap<AppParts, Map<Door, Promise<Readonly<Record<string, unknown>>>>>();

async function openApi(parts: AppParts, request: Request, peer: string): Promise<Response> {
  const door = doorOf(request.url);
  const made = documents.get(parts) ?? new Map<Door, Promise<Readonly<Record<string, unknown>>>>();
  documents.set(parts, made);
  const document = made.get(door) ?? openApiDocument(parts.operations, door, parts.version);
  made.set(door, document);
  const isFromProxy = parts.trustedProxies.has(peer);
  // The page calls the agent that it was loaded from: its policy allows no other, whatever the public URL is.
  const server =
    door === 'docs'
      ? { url: '.', description: 'the agent that this page came from' }
      : { url: parts.publicUrl ?? requestOrigin(request.url, request.headers, isFromProxy) };
  return respond(parts, request, 200, { ...(await document), servers: [server] });
}

/** A part of the page for people. */
async function docs(parts: AppParts, path: string, request: Request): Promise<Response> {
  const file = await docsFile(path);
  if (hasFile(request.headers, file)) return send(parts, request, 304, null, 0, file.headers);
  return send(parts, request, 200, file.body, file.bytes, file.headers);
}

/** The door of the original: `{"op","args"}`. */
async function rpc(parts: AppParts, operations: ReadonlyMap<string, Operation>, request: Request): Promise<Response> {
  const { deadline } = theExchange(request);
  const { operation, args } = parseRpc(await readJson(request, deadline, parts.shutdown), operations);
  return invoke(parts, operation, args, request);
}

/** One route per operation: the body is the arguments themselves, and may be empty. */
async function flat(parts: AppParts, operation: Operation, request: Request): Promise<Response> {
  const { deadline } = theExchange(request);
  return invoke(parts, operation, await readJsonOrNothing(request, deadline, parts.shutdown), request);
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
function mcp(parts: AppParts, request: Request, peer: string): Promise<Response> {
  const exchange = theExchange(request);
  return answerMcp(parts, request, peer, exchange, (status, bytes) =>
    log(parts, exchange, { status, bytes, error: exchange.error }),
  );
}

async function metrics(parts: AppParts, request: Request): Promise<Response> {
  const { text, type } = await metricsText(parts);
  return send(parts, request, 200, text, Buffer.byteLength(text), { 'content-type': type });
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
    logExchange(parts.logger, exchange, { ...ending, durationMs });
  });
}
