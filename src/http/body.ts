import type { Deadline } from '../core/clock.ts';
import { AgentError, InvalidJson, RequestTooLarge } from '../core/errors.ts';
import { MAX_BODY_BYTES } from '../core/limits.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Refuses a body that announces itself as too large, before any of it is read. */
export function refuseLargeBody(headers: Headers): void {
  if (Number(headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
}

function tooLarge(): RequestTooLarge {
  return new RequestTooLarge(
    `A request may have ${MAX_BODY_BYTES} bytes. Send large data in several calls, for example appending to a file.`,
  );
}

/**
 * The body as JSON, whatever its Content-Type says. Throws `InvalidJson` for what is no JSON in UTF-8 or does not
 * arrive in time, and `RequestTooLarge`.
 */
export async function readJson(request: Request, deadline: Deadline): Promise<unknown> {
  const bytes = await readBody(request, deadline);
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8' : 'it cannot be parsed';
    throw new InvalidJson(
      `The body must be JSON of the form {"op":"shell","args":{"cmd":"uptime"}}, but ${reason}. Check quotes and backslashes.`,
    );
  }
}

async function readBody(request: Request, deadline: Deadline): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  // With a Content-Length, the server reads no more than that, and it was checked before.
  if (request.headers.has('content-length')) return new Uint8Array(await inTime(request.arrayBuffer(), deadline));
  return inTime(readChunks(request.body), deadline);
}

async function readChunks(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function inTime<T>(reading: Promise<T>, deadline: Deadline): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new InvalidJson('The body did not arrive in time. Send it whole.')),
      deadline.leftMs,
    );
  });
  try {
    return await Promise.race([reading, late]);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new InvalidJson('The connection was closed before the whole body had arrived.');
  } finally {
    clearTimeout(timer);
  }
}
