import type { FollowEvent, Followers, Offsets } from '../calls/follow.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { decodeUtf8 } from '../lib/utf8.ts';
import { type HttpExchange, problemOf, urlOf } from './exchange.ts';

interface OpenedStream {
  readonly response: Response;
  readonly over: OneShotEvent;
  bytes(): number;
}

/**
 * `GET /sessions/:id/stream`: the output of a session as server-sent events (HTML standard, section 9.2). `stdout` and
 * `stderr` in the query are the first offsets, `encoding=base64` returns exact bytes. `Last-Event-ID` continues after a
 * broken connection. Throws `InvalidArguments` and what `Followers.follow` throws.
 */
export async function openStream(
  followers: Followers,
  session: string,
  { id, principal, address, deadline, request }: HttpExchange,
  shutdown: OneShotEvent,
): Promise<OpenedStream> {
  const { searchParams } = urlOf(request.url);
  const isBase64 = encodingOf(searchParams) === 'base64';
  const gone = new OneShotEvent();
  let sent = 0;
  const offsets = offsetsOf(searchParams, request.headers.get('last-event-id'));
  request.signal.addEventListener('abort', () => gone.fire());
  const call = { principal, address, deadline, shutdown, request: id };
  const events = await followers.follow(session, call, { offsets, isText: !isBase64, gone }).catch((error) => {
    gone.fire();
    throw error;
  });
  // A client that leaves in the middle of output waits for no event, so its files are closed here.
  gone.subscribe(() => void events.return());
  const body = new ReadableStream<Uint8Array>({
    // Headers are sent with the first bytes, so that a client of a silent command knows that it is connected.
    start: (controller) => controller.enqueue(Buffer.from(': following\n\n')),
    // One event at a time, as the client reads, so that a slow client uses no memory.
    pull: async (controller) => {
      const next = await events.next();
      if (next.done === true) {
        gone.fire();
        controller.close();
        return;
      }
      const text = Buffer.from(encode(next.value, isBase64));
      sent += text.length;
      controller.enqueue(text);
    },
    cancel: () => gone.fire(),
  });
  const headers = {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Otherwise nginx buffers the events.
    'x-accel-buffering': 'no',
  };
  return { response: new Response(body, { headers }), over: gone, bytes: () => sent };
}

function encode(event: FollowEvent, isBase64: boolean): string {
  switch (event.kind) {
    case 'output': {
      const { stream, bytes, offsets } = event;
      const text = isBase64
        ? { base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64') }
        : { text: decodeUtf8(bytes) };
      return `event: output\nid: ${offsets.stdout},${offsets.stderr}\ndata: ${JSON.stringify({ stream, ...text })}\n\n`;
    }
    case 'frozen':
      return `event: frozen\ndata: ${JSON.stringify({ frozen: event.isFrozen })}\n\n`;
    case 'alive':
      return ': alive\n\n';
    case 'end':
      return `event: end\ndata: ${JSON.stringify(event.state)}\n\n`;
    case 'refused': {
      const { status, body } = problemOf(event.error);
      return `event: refused\ndata: ${JSON.stringify({ status, ...body })}\n\n`;
    }
    default:
      return event satisfies never;
  }
}

function encodingOf(query: URLSearchParams): 'utf8' | 'base64' {
  const encoding = query.get('encoding') ?? 'utf8';
  if (encoding === 'utf8' || encoding === 'base64') return encoding;
  throw new InvalidArguments('encoding must be utf8 or base64.');
}

function offsetsOf(query: URLSearchParams, lastEventId: string | null): Offsets {
  const [, stdout, stderr] = /^(\d{1,15}),(\d{1,15})$/.exec(lastEventId ?? '') ?? [];
  if (stdout !== undefined) return { stdout: Number(stdout), stderr: Number(stderr) };
  return { stdout: offsetOf(query, 'stdout'), stderr: offsetOf(query, 'stderr') };
}

function offsetOf(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '0';
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArguments(`${name} must be an offset in bytes, 0 or more.`);
}
