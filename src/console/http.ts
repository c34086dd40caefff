import { AddressList, clientAddress, networkOf } from '../lib/addresses.ts';
import { delay } from '../lib/clock.ts';
import { Shares } from '../lib/shares.ts';
import type { Api, ApiCall } from './api.ts';
import { API_HEADERS, PAGE_HEADERS } from './headers.ts';
import type { PageFile } from './page-files.ts';
import { ApiRefusal, badRequest, tooMany } from './refusal.ts';

/** Longest body of a call: an order with its assertion is a fraction of it. */
export const MAX_BODY_BYTES = 65_536;

/** A body comes at once: what waits for one holds a connection, and there are 256 on the way to the console. */
const BODY_MS = 10_000;
/** Bodies that are waited for at once, by the networks they come from. */
const MAX_BODIES = 64;
const bodies = new Shares(MAX_BODIES);

/** Who has the unix socket is a proxy, which says where a request comes from. */
const PROXY = '127.0.0.1';
const BEHIND_SOCKET = AddressList.parse(PROXY).list;

export interface HttpDeps {
  readonly api: Api;
  /** Of the console, as the browser has it. */
  readonly origin: string;
  readonly trustedProxies: AddressList;
  readonly pageFiles: () => Promise<Readonly<Record<string, PageFile>>>;
  /** Called with faults of the console itself. */
  readonly tell: (error: unknown) => void;
}

/** Answers a request. `peer` is its address; undefined: it came through a unix socket. */
export async function answerHttp(deps: HttpDeps, request: Request, peer: string | undefined): Promise<Response> {
  try {
    const { pathname } = new URL(request.url);
    requireOwnPage(deps.origin, request.headers);
    if (!pathname.startsWith('/api/')) return await pageOf(deps, request.method, pathname.slice(1));
    if (request.method !== 'POST') throw new ApiRefusal(405, 'BadRequest', 'Send calls of the API with POST.');
    return respond(200, await deps.api.answer(await readCall(deps, request, pathname.slice('/api/'.length), peer)));
  } catch (error) {
    if (!(error instanceof ApiRefusal)) {
      if (!request.signal.aborted) deps.tell(error);
      return respond(500, { error: 'InternalError', message: 'The console failed; its log says why.' });
    }
    const { status, code, message, retryAfterSeconds } = error;
    const retry = retryAfterSeconds === undefined ? {} : { 'Retry-After': String(Math.ceil(retryAfterSeconds)) };
    // Of a body that has not come whole, the rest is not waited for.
    const close = status === 408 || status === 429 ? { Connection: 'close' } : {};
    return respond(status, { error: code, message }, { ...retry, ...close });
  }
}

function respond(status: number, body: object, more: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { ...API_HEADERS, ...more } });
}

/** A name that somebody points at this machine is another host; a page of another site sends its own origin. */
function requireOwnPage(origin: string, headers: Headers): void {
  const { host } = new URL(origin);
  if (headers.get('host')?.toLowerCase() !== host) throw badRequest(`The console is at ${origin}.`);
  const sent = headers.get('origin');
  const site = headers.get('sec-fetch-site');
  const isForeign = sent !== null && sent !== 'null' && sent.toLowerCase() !== origin;
  const isElsewhere = site !== null && site !== 'same-origin' && site !== 'none';
  // From a page without a referrer some browsers send `Origin: null`; the other header says then where it is from.
  if (isForeign || (sent === 'null' && site !== 'same-origin') || (sent !== null && isElsewhere))
    throw badRequest('This came from a page of another site.');
}

async function readCall({ trustedProxies }: HttpDeps, request: Request, name: string, peer: string | undefined) {
  const { headers, signal } = request;
  const address =
    peer === undefined ? clientAddress(PROXY, headers, BEHIND_SOCKET) : clientAddress(peer, headers, trustedProxies);
  const bearer = /^bearer +([\w-]{20,100}) *$/i.exec(headers.get('authorization') ?? '')?.[1];
  const network = networkOf(address);
  if (!bodies.hasRoom(network)) throw tooMany(1, 'Too many calls from this address have no body yet.');
  const release = bodies.acquire(network);
  try {
    const call: ApiCall = { name, body: await readBody(request), bearer, address, signal };
    return call;
  } finally {
    release();
  }
}

async function readBody(request: Request): Promise<unknown> {
  const tooLarge = new ApiRefusal(413, 'TooLarge', `A call may have at most ${MAX_BODY_BYTES} bytes.`);
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge;
  const text = await Promise.race([request.text(), delay(BODY_MS)]);
  if (text === undefined) throw new ApiRefusal(408, 'BadRequest', 'The body did not come in time.');
  if (text.length > MAX_BODY_BYTES) throw tooLarge;
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch {
    throw badRequest('The body is not JSON.');
  }
}

async function pageOf({ pageFiles }: HttpDeps, method: string, name: string): Promise<Response> {
  if (method !== 'GET' && method !== 'HEAD') throw new ApiRefusal(405, 'BadRequest', 'The page is read with GET.');
  const files = await pageFiles();
  const file = Object.hasOwn(files, name || 'index.html') ? files[name || 'index.html'] : undefined;
  if (file === undefined) throw new ApiRefusal(404, 'NotFound', 'There is no such file.');
  const cache = file.isFixed ? { 'Cache-Control': 'public, max-age=31536000, immutable' } : {};
  const headers = { ...PAGE_HEADERS, ...cache, 'Content-Type': file.type };
  return new Response(method === 'HEAD' ? null : file.bytes, { headers });
}
