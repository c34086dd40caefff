import { Elysia } from 'elysia';
import type { Followers } from '../calls/follow.ts';
import { type AddressList, clientAddress } from '../lib/addresses.ts';
import { ShuttingDown, SignInRequired, Unauthorized } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import { type Operation, offered } from '../operations/operation.ts';
import type { Authenticator } from './auth.ts';
import { type BodyReading, readCall, readJson, requireReadable } from './body.ts';
import { DOCS_PATHS, docsFile, hasFile } from './docs.ts';
import {
  beginExchange,
  type Exchange,
  type HttpExchange,
  invokeFor,
  noRoute,
  noteSession,
  pathOf,
} from './exchange.ts';
import type { CallLimiter, RateLimiter } from './limiters.ts';
import { authorizeMetrics } from './metrics.ts';
import { doorOf, openApiDocument, requestOrigin } from './openapi.ts';
import { corsHeaders, preflightHeaders } from './origin.ts';
import { failed, log, respond, send } from './respond.ts';
import { answerSignIn, type SignInDoor } from './sign-in.ts';
import { openStream } from './stream.ts';
import { serveTransfer, TRANSFER_PATH, type TransferRouteDeps } from './transfer.ts';

export interface AppDeps extends TransferRouteDeps {
  readonly version: string;
  /** Checks the token of the metrics. Without one, only this machine may read them. */
  readonly metricsAuth: Authenticator | undefined;
  readonly operations: readonly Operation[];
  readonly followers: Followers;
  readonly auth: Authenticator;
  /** Also accepts the tokens of grants, which are for `/mcp` only. */
  readonly mcpAuth: Authenticator;
  readonly rateLimiter: RateLimiter;
  readonly calls: CallLimiter;
  readonly turns: Turns;
  readonly replySeconds: number;
  readonly maxReplyChars: number;
  readonly trustedProxies: AddressList;
  readonly publicUrl: string | undefined;
  readonly mcp: McpDoor;
  /** Undefined when clients cannot sign in. */
  readonly signIn: SignInDoor | undefined;
}

/** The MCP endpoint, which is built separately. */
export interface McpDoor {
  /** Returns the web page that sent a request; undefined without a browser. Throws `ForeignOrigin`. */
  originOf(request: Request, exchange: Exchange): string | undefined;
  /**
   * Answers a request to `/mcp`. Calls `done` with status and bytes when the answer was sent. Throws an `AgentError` for a
   * body that is not JSON.
   */
  answer(
    request: Request,
    exchange: Exchange,
    reading: BodyReading,
    done: (status: number, bytes: number) => void,
  ): Promise<Response>;
}

const STREAM_ROUTE = '/sessions/:id/stream';
const STREAM_PATH = /^\/sessions\/[^/]+\/stream$/;

type Answering = (exchange: HttpExchange) => Response | Promise<Response>;

/** The socket of a request; `null` without one, as in tests. */
type Socket = { requestIP(request: Request): { readonly address: string } | null } | null;

type Route = (context: { readonly request: Request; readonly server: Socket }) => Promise<Response>;
type Methods = Readonly<Record<string, Route>>;

/** The HTTP server of the agent, without a socket. */
export function createApp(deps: AppDeps) {
  const begin = (request: Request, socket: Socket): HttpExchange => {
    const peer = socket?.requestIP(request)?.address ?? 'unknown';
    return beginExchange(request, peer, clientAddress(peer, request.headers, deps.trustedProxies), deps.replySeconds);
  };
  const route =
    (answer: Answering): Route =>
    async ({ request, server }) => {
      const exchange = begin(request, server);
      try {
        return await answer(exchange);
      } catch (error) {
        return failed(deps, exchange, error);
      }
    };
  const open = (answer: Answering) => route((exchange) => publicly(deps, exchange, answer));
  const closed = (answer: Answering) => route((exchange) => admitted(deps, exchange, answer));
  const readable = (answer: Route): Methods => ({ GET: answer, HEAD: answer });
  const operations = new Map(deps.operations.map((operation) => [operation.name, operation]));
  /** All paths but those of streams and of the sign-in, with their methods. */
  const routes: readonly (readonly [path: string, methods: Methods])[] = [
    ['/', { POST: closed((exchange) => rpc(deps, operations, exchange)) }],
    ['/healthz', readable(route((exchange) => health(deps, exchange)))],
    ['/openapi.json', { GET: open((exchange) => openApi(deps, exchange)) }],
    ['/metrics', { GET: route((exchange) => metrics(deps, exchange)) }],
    // The server sends nothing by itself, so there is no stream to GET, and no session to DELETE.
    [
      '/mcp',
      {
        POST: route((exchange) => mcp(deps, exchange)),
        OPTIONS: open((exchange) => preflight(deps, exchange)),
      },
    ],
    ...DOCS_PATHS.map((path) => [path, readable(open((exchange) => docs(deps, path, exchange)))] as const),
    ...deps.operations.map(
      (operation) => [`/${operation.name}`, { POST: closed((exchange) => flat(deps, operation, exchange)) }] as const,
    ),
  ];
  const allowed = new Map<string, readonly string[]>([
    ...routes.map(([path, methods]) => [path, Object.keys(methods)] as const),
    [STREAM_ROUTE, ['GET']],
    ...(deps.signIn?.routes ?? []),
  ]);
  const nothing = ({ method, path }: Exchange): never => {
    throw noRoute(method, STREAM_PATH.test(path) ? STREAM_ROUTE : path, allowed);
  };
  const unparsed = { parse: 'none' } as const;
  const refused = closed(nothing);
  const notHere = open(nothing);
  const signInDoor = open((exchange) => answerSignIn(deps, exchange) ?? nothing(exchange));
  const noMethod = route((exchange) => mcp(deps, exchange, nothing));
  // Elysia looks for the path after eleven characters of the URL, which fails for a short or missing host.
  const elsewhere: Route = (context) => {
    const path = pathOf(context.request.url);
    // A client that asks how to sign in gets 404, not 403.
    if (/^\/(?:\.well-known|oauth)\//.test(path)) return signInDoor(context);
    // A client that may POST there learns that no other method exists.
    if (path === '/mcp') return noMethod(context);
    const [, secret] = TRANSFER_PATH.exec(path) ?? [];
    if (secret !== undefined) return route((exchange) => serveTransfer(deps, secret, exchange))(context);
    // An unknown path also needs the token.
    return OPEN_PATHS.includes(path) ? notHere(context) : refused(context);
  };
  // Paths match exactly: `/metrics/` is another path.
  const app = new Elysia({ name: 'agent3', strictPath: true })
    .onError({ as: 'global' }, ({ error, request, server }) => failed(deps, begin(request, server), error))
    .get(STREAM_ROUTE, ({ request, server, params: { id } }) => {
      return closed((exchange) => stream(deps, id, exchange))({ request, server });
    });
  for (const path of ['/*', '/']) app.all(path, elsewhere, unparsed);
  for (const [path, methods] of routes)
    for (const [method, answer] of Object.entries(methods)) app.route(method, path, answer, unparsed);
  return app;
}

/** Public paths: for another method, they answer which methods they accept. */
const OPEN_PATHS = ['/healthz', '/openapi.json', '/metrics', ...DOCS_PATHS];

/**
 * Checks the token before anything else, then calls `answer`. The call holds its slot until the answer is ready. Throws
 * `Unauthorized`, `TooManyRequests`.
 */
async function admitted(
  deps: AppDeps,
  exchange: HttpExchange,
  answer: Answering,
  auth: Authenticator = deps.auth,
): Promise<Response> {
  exchange.principal = auth.authenticate(exchange.request.headers, exchange.address);
  deps.rateLimiter.consume(exchange.principal);
  using slot = deps.calls.acquire(exchange.principal);
  exchange.slot = slot;
  return await publicly(deps, exchange, answer);
}

/** Calls `answer` without a token. Throws `ShuttingDown`, `RequestTooLarge`, and `UnsupportedEncoding`. */
function publicly(deps: AppDeps, exchange: HttpExchange, answer: Answering): Response | Promise<Response> {
  if (deps.shutdown.fired) throw new ShuttingDown();
  requireReadable(exchange.request.headers);
  return answer(exchange);
}

function health(deps: AppDeps, exchange: Exchange): Response {
  const stopping = deps.shutdown.fired;
  const frozen = deps.freeze.isFrozen && { frozen: true };
  const body = { status: stopping ? 'shutting down' : 'ok', version: deps.version, ...frozen };
  return respond(deps, exchange, stopping ? 503 : 200, body);
}

/** The text of the document without its last brace, made for the first request: most agents serve it once. */
const documents = new WeakMap<AppDeps, Map<string, Promise<string>>>();

async function openApi(deps: AppDeps, exchange: HttpExchange): Promise<Response> {
  const { request, peer } = exchange;
  const door = doorOf(request.url);
  const operations = await offered(deps.operations);
  const made = documents.get(deps) ?? new Map<string, Promise<string>>();
  documents.set(deps, made);
  const which = `${door} ${operations.length}`;
  const document = made.get(which) ?? openApiDocument(operations, door, deps.version).then(withoutEnd);
  made.set(which, document);
  const isFromProxy = deps.trustedProxies.has(peer);
  // The page may only call the agent that served it, not the public URL.
  const server =
    door === 'docs'
      ? { url: '.', description: 'the agent that this page came from' }
      : { url: deps.publicUrl ?? requestOrigin(request.url, request.headers, isFromProxy) };
  const text = `${await document},"servers":${JSON.stringify([server])}}`;
  return send(deps, exchange, 200, text, Buffer.byteLength(text), { 'content-type': 'application/json' });
}

const withoutEnd = (document: object): string => JSON.stringify(document).slice(0, -1);

async function docs(deps: AppDeps, path: string, exchange: HttpExchange): Promise<Response> {
  const file = await docsFile(path);
  if (hasFile(exchange.request.headers, file)) return send(deps, exchange, 304, null, 0, file.headers);
  return send(deps, exchange, 200, file.body, file.bytes, file.headers);
}

/** The endpoint of the original: `{"op","args"}`. */
async function rpc(
  deps: AppDeps,
  operations: ReadonlyMap<string, Operation>,
  exchange: HttpExchange,
): Promise<Response> {
  const { operation, args } = await readCall(exchange.request, readingOf(deps, exchange), operations);
  return invoke(deps, operation, args, exchange, false);
}

async function flat(deps: AppDeps, operation: Operation, exchange: HttpExchange): Promise<Response> {
  const form = 'with an object, the arguments of the operation';
  const args = await readJson(exchange.request, readingOf(deps, exchange), form, true);
  return invoke(deps, operation, args, exchange, true);
}

function readingOf({ rateLimiter, shutdown, turns }: AppDeps, { deadline, principal, slot }: Exchange): BodyReading {
  const count = (bytes: number): void => {
    slot?.grow(bytes);
    rateLimiter.consumeText(principal, bytes);
  };
  return { deadline, shutdown, count, turn: (garbageBytes) => turns.take(principal, garbageBytes) };
}

async function invoke(
  deps: AppDeps,
  operation: Operation,
  args: unknown,
  exchange: Exchange,
  isLean: boolean,
): Promise<Response> {
  const answer = await invokeFor(exchange, operation, args, { shutdown: deps.shutdown, isLean });
  return respond(deps, exchange, 200, answer);
}

/** A stream ends with its command, not after the reply window. Its log line is written then. */
async function stream(deps: AppDeps, id: string, exchange: HttpExchange): Promise<Response> {
  exchange.op = 'stream';
  noteSession(exchange, { session: id });
  const { response, over, bytes } = await openStream(deps.followers, id, exchange, deps.shutdown);
  response.headers.set('x-request-id', exchange.id);
  over.subscribe(() => log(deps, exchange, { status: 200, bytes: bytes(), error: undefined }));
  return response;
}

/** MCP's Streamable HTTP, also for web pages. Its clients start a sign-in after a 401. */
async function mcp(
  deps: AppDeps,
  exchange: HttpExchange,
  answer: Answering = () => tools(deps, exchange),
): Promise<Response> {
  const origin = deps.mcp.originOf(exchange.request, exchange);
  const response = await admitted(deps, exchange, answer, deps.mcpAuth).catch((error: unknown) =>
    failed(deps, exchange, signInRequired(deps, error, exchange)),
  );
  for (const [name, value] of Object.entries(corsHeaders(origin))) response.headers.set(name, value);
  return response;
}

/** Its answers may be streams, whose log line is written at their end. */
function tools(deps: AppDeps, exchange: HttpExchange): Promise<Response> {
  return deps.mcp.answer(exchange.request, exchange, readingOf(deps, exchange), (status, bytes) =>
    log(deps, exchange, { status, bytes, error: exchange.error }),
  );
}

function preflight(deps: AppDeps, exchange: HttpExchange): Response {
  const origin = deps.mcp.originOf(exchange.request, exchange);
  return send(deps, exchange, 204, null, 0, preflightHeaders(origin));
}

function signInRequired(deps: AppDeps, error: unknown, { request: { headers } }: HttpExchange): unknown {
  if (!(error instanceof Unauthorized)) return error;
  const hadToken = headers.has('authorization') || headers.has('x-auth-token');
  return new SignInRequired(error.hint, hadToken, deps.signIn?.challenge);
}

function metrics(deps: AppDeps, exchange: HttpExchange): Response | Promise<Response> {
  authorizeMetrics(deps.metricsAuth, exchange.request.headers, exchange.peer, exchange.address);
  return publicly(deps, exchange, async () => {
    const { text, type } = await deps.metrics.text();
    return send(deps, exchange, 200, text, Buffer.byteLength(text), { 'content-type': type });
  });
}
