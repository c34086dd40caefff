import type { CallDeps } from '../calls/context.ts';
import type { LinkedDownload, LinkedUpload, Links } from '../files/linked.ts';
import { type TransferResult, tooLarge } from '../files/transfer.ts';
import { noSuchLink } from '../files/transfers.ts';
import { delay, type OneShotEvent } from '../lib/clock.ts';
import {
  InvalidRequest,
  MachineRefused,
  MethodNotAllowed,
  RangeRefused,
  RouteNotFound,
  ShuttingDown,
} from '../lib/errors.ts';
import { requireUnencoded } from './body.ts';
import type { HttpExchange } from './exchange.ts';
import { type AnswerDeps, log } from './respond.ts';

/** The path of a link, with its secret. */
export const TRANSFER_PATH = /^\/transfer\/([^/]+)$/;

/** Programs of chats and search engines that preview a link. They get nothing of the file. */
const PREVIEWS = new RegExp(
  [
    // What such a program does, or the address of a page about it.
    'bot\\b|preview|crawl|spider|scrap|fetcher|embed|expand|unfurl|proxy|safelinks|externalhit|\\+https?:',
    // Its name.
    'whatsapp|slack|discord|telegram|skype|mattermost|linkedin|iframely|outlook|ms-office',
  ].join('|'),
  'i',
);

/** Headers of every answer of a link: a browser saves the file, and runs nothing. */
const HEADERS = {
  'content-type': 'application/octet-stream',
  'x-content-type-options': 'nosniff',
  'content-security-policy': 'sandbox',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-robots-tag': 'noindex',
  // Otherwise nginx buffers the whole file.
  'x-accel-buffering': 'no',
} as const;

/** The answer to a request to a link. */
interface TransferAnswer {
  readonly response: Response;
  /** Resolves with the number of bytes of its body, when they were sent. */
  readonly sent: Promise<number>;
}

/** What links need. */
export interface TransferRouteDeps extends AnswerDeps, Pick<CallDeps, 'freeze'> {
  readonly links: Links;
  readonly shutdown: OneShotEvent;
}

/**
 * Answers a request to the link with this secret, without a token. Its body may be large. Its log line is written when
 * the bytes were transferred. Throws `RouteNotFound` for an unknown or ended link, `MethodNotAllowed`, `Conflict`,
 * `RangeRefused`, `RequestTooLarge`, `UnsupportedEncoding`, `InvalidRequest`, `MachineRefused`, `ShuttingDown`, and what
 * `Links.open` throws.
 */
export async function serveTransfer(
  deps: TransferRouteDeps,
  secret: string,
  exchange: HttpExchange,
): Promise<Response> {
  if (deps.shutdown.fired) throw new ShuttingDown();
  deps.freeze.require('The ten minutes of the link do not run meanwhile.');
  const { response, sent } = await answer(deps, secret, exchange);
  response.headers.set('x-request-id', exchange.id);
  void sent.then((bytes) => log(deps, exchange, { status: response.status, bytes, error: undefined }));
  return response;
}

async function answer(
  { links, freeze }: TransferRouteDeps,
  secret: string,
  exchange: HttpExchange,
): Promise<TransferAnswer> {
  const { request, address } = exchange;
  const transfer = await links.open(secret.replace('%40', '@'), exchange);
  if (transfer.kind === 'used') {
    if (request.method === 'HEAD') return whole(410, resultHeaders(transfer));
    throw noSuchLink();
  }
  exchange.op = transfer.kind;
  const allow = transfer.kind === 'download' ? 'GET, HEAD' : 'PUT, HEAD';
  if (!allow.split(', ').includes(request.method))
    throw new MethodNotAllowed(allow, `This link is for ${transfer.kind}. Use ${allow}.`);
  if (transfer.kind === 'upload') return await answerUpload(transfer, request, address, freeze);
  if (PREVIEWS.test(request.headers.get('user-agent') ?? '') || request.headers.has('sec-purpose'))
    throw new RouteNotFound('This link is for a download, not for a preview.');
  return await answerDownload(transfer, request, address);
}

function whole(status: number, headers: Readonly<Record<string, string>>, body: object | null = null): TransferAnswer {
  const text = body === null ? null : JSON.stringify(body);
  const type = body === null ? {} : { 'content-type': 'application/json' };
  const response = new Response(text, { status, headers: { ...HEADERS, ...headers, ...type } });
  return { response, sent: Promise.resolve(text?.length ?? 0) };
}

/** Headers with the digest (RFC 9530) and the next offset. */
function resultHeaders({ bytes, sha256 }: TransferResult): Record<string, string> {
  return { 'upload-offset': String(bytes), ...(sha256 !== undefined && digestHeader(sha256)) };
}

function digestHeader(sha256: string): Record<string, string> {
  return { 'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:` };
}

async function answerUpload(
  transfer: LinkedUpload,
  request: Request,
  address: string,
  freeze: CallDeps['freeze'],
): Promise<TransferAnswer> {
  if (request.method === 'HEAD') return whole(200, { 'upload-offset': String(transfer.received) });
  requireUnencoded(request.headers, 'the file as it is');
  const { offset, total } = contentRange(request.headers);
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (Math.max(total ?? 0, offset + announced) > transfer.most) throw tooLarge(transfer.most);
  return await transfer.receive(offset, bodyOf(request, transfer), async () => {
    const { received } = transfer;
    if (total !== undefined && received < total)
      return whole(202, { 'upload-offset': String(received) }, { received, bytes: total });
    if (total !== undefined && received > total)
      throw new InvalidRequest(`Content-Range says ${total} bytes, but ${received} arrived. Send the file again.`);
    freeze.require('The bytes that arrived are kept.');
    const done = await transfer.commit(address);
    return whole(done['status'] === 'waiting' ? 202 : 201, digestHeader(String(done['sha256'])), done);
  });
}

/** Parses Content-Range (RFC 9110, section 14.4): the first byte of a body in its file, and the size of the file if known. */
function contentRange(headers: Headers): { readonly offset: number; readonly total: number | undefined } {
  const text = headers.get('content-range');
  if (text === null) return { offset: 0, total: undefined };
  const [, from, to, total] = /^bytes (\d{1,15})-(\d{1,15}|\*)?\/(\d{1,15}|\*)$/.exec(text) ?? [];
  if (from === undefined || total === '*')
    throw new InvalidRequest('Content-Range must have the form: bytes FIRST-LAST/SIZE.');
  if (to !== undefined && to !== '*' && (Number(to) < Number(from) || Number(to) >= Number(total)))
    throw new InvalidRequest('The last byte of Content-Range is before the first, or after the end.');
  return { offset: Number(from), total: Number(total) };
}

/** Yields the pieces of a body, until the transfer ends. Throws `InvalidRequest` when the client disconnects. */
async function* bodyOf(request: Request, { over }: LinkedUpload): AsyncGenerator<Uint8Array, void> {
  const reader = request.body?.getReader();
  if (reader === undefined) return;
  const unsubscribe = over.subscribe(() => void reader.cancel().catch(() => {}));
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || over.fired) return;
      yield value;
    }
  } catch {
    throw new InvalidRequest(
      'The connection was closed before all bytes arrived. The bytes that arrived are kept: send the rest.',
    );
  } finally {
    unsubscribe();
  }
}

/** Time after which a client that only looks has disconnected. The last byte is sent then. */
const LAST_BYTE_MS = 100;

async function answerDownload(transfer: LinkedDownload, request: Request, address: string): Promise<TransferAnswer> {
  transfer.requireOpen();
  const { bytes } = transfer;
  const etag = `"${transfer.tag}"`;
  const headers = {
    'accept-ranges': 'bytes',
    etag,
    'content-disposition': `attachment; filename*=UTF-8''${encodeRfc5987(transfer.name)}`,
  };
  const part = rangeOf(request.headers, etag, bytes);
  const range = part && { 'content-range': `bytes ${part.from}-${part.to - 1}/${bytes}` };
  const { from, to } = part ?? { from: 0, to: bytes };
  const all = { ...headers, ...range };
  if (request.method === 'HEAD') return whole(200, { ...headers, 'content-length': String(bytes) });
  const { body, sent } = streamOf(transfer, { from, to }, request.signal, address);
  return {
    response: new Response(body, { status: part === undefined ? 200 : 206, headers: { ...HEADERS, ...all } }),
    sent,
  };
}

interface Part {
  readonly from: number;
  /** The offset after the last byte. */
  readonly to: number;
}

/** Parses the range of a request (RFC 9110, section 14.2); undefined for all bytes, or several ranges. Throws `RangeRefused`. */
function rangeOf(headers: Headers, etag: string, bytes: number): Part | undefined {
  const condition = headers.get('if-range');
  if (condition !== null && condition !== etag) return undefined;
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.get('range') ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const from = first === '' ? Math.max(0, bytes - Number(last)) : Number(first);
  const to = first === '' || last === '' ? bytes : Math.min(bytes, Number(last) + 1);
  if (from >= bytes || to <= from) throw new RangeRefused(bytes);
  return { from, to };
}

function streamOf(transfer: LinkedDownload, { from, to }: Part, gone: AbortSignal, address: string) {
  const pieces = heldBack(transfer.pieces(from, to), gone);
  const { promise: sent, resolve } = Promise.withResolvers<number>();
  let at = from;
  const body = new ReadableStream<Uint8Array>(
    {
      // One piece at a time, as the client reads, so that a slow client uses no memory.
      pull: async (controller) => {
        try {
          const next = await pieces.next();
          if (next.done !== true) {
            at += next.value.length;
            controller.enqueue(next.value);
            return;
          }
          if (at !== to || gone.aborted)
            throw new MachineRefused('The file was not transferred completely.', undefined);
          await transfer.took(from, to, address);
          controller.close();
        } catch (error) {
          // The connection is broken off: otherwise the answer would look complete.
          controller.error(error);
        }
        resolve(at - from);
      },
      cancel: async () => {
        resolve(at - from);
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
  return { body, sent };
}

/** Yields the same bytes, but the last one a moment later, and only when the client is still connected. */
async function* heldBack(pieces: AsyncGenerator<Uint8Array, void>, gone: AbortSignal) {
  let held: Uint8Array | undefined;
  for await (const piece of pieces) {
    if (held !== undefined) yield held;
    yield piece.subarray(0, -1);
    held = piece.subarray(-1);
  }
  await delay(LAST_BYTE_MS);
  if (held !== undefined && !gone.aborted) yield held;
}

/** RFC 8187. */
function encodeRfc5987(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
}
