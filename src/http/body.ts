import { setImmediate } from 'node:timers/promises';
import { Deadline, type OneShotEvent } from '../lib/clock.ts';
import { preview } from '../lib/describe-schema.ts';
import {
  AgentError,
  InvalidJson,
  InvalidOperation,
  InvalidRequest,
  RequestTooLarge,
  ShuttingDown,
  UnsupportedEncoding,
} from '../lib/errors.ts';
import { MAX_BODY_BYTES } from '../lib/limits.ts';
import type { Operation } from '../operations/operation.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Throws `RequestTooLarge` and `UnsupportedEncoding` for a body that announces itself so, before any of it is read. */
export function requireReadable(headers: Headers): void {
  const encoding = headers.get('content-encoding')?.trim() ?? '';
  if (!/^(?:identity)?$/i.test(encoding))
    throw new UnsupportedEncoding(
      `The body is sent with Content-Encoding ${preview(encoding)}, which is not read here. Send it as plain JSON, without that header.`,
    );
  if ((announcedBytes(headers) ?? 0) > MAX_BODY_BYTES) throw tooLarge();
}

/** What `Content-Length` says; undefined where there is none. Throws `InvalidRequest` for two of them and other nonsense. */
function announcedBytes(headers: Headers): number | undefined {
  const announced = headers.get('content-length');
  if (announced === null) return undefined;
  if (!/^\d{1,15}$/.test(announced)) throw new InvalidRequest('Content-Length must be one number. Send it once.');
  return Number(announced);
}

function tooLarge(): RequestTooLarge {
  return new RequestTooLarge(
    `A request may have ${MAX_BODY_BYTES} bytes. Send large data in several calls, for example appending to a file.`,
  );
}

export interface BodyReading {
  readonly deadline: Deadline;
  readonly shutdown: OneShotEvent;
  /** Counts bytes of it for its token, before they are read. Throws when that has sent too many. */
  readonly count: (bytes: number) => void;
  /** Resolves when it is the turn of its token to have a long body looked at. */
  readonly turn: (garbageBytes: number) => Promise<void>;
}

/** What is made of a longer one (its JSON, a command that is looked at and masked) takes milliseconds. */
const LONG_BODY_BYTES = 16_384;
/** Its bytes, its text and what that holds. */
const GARBAGE_TIMES = 4;

/**
 * The body as JSON, whatever its Content-Type says; `form` says in a refusal what it should be. Undefined where it is
 * empty and `mayBeEmpty`. Throws `InvalidJson` for what is no JSON in UTF-8 or does not arrive in time,
 * `RequestTooLarge`, `TooManyRequests`, and `ShuttingDown`.
 */
export async function readJson(
  request: Request,
  reading: BodyReading,
  form: string,
  mayBeEmpty = false,
): Promise<unknown> {
  const bytes = await readInTime(request, reading);
  if (mayBeEmpty && bytes.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (error) {
    const reason =
      error instanceof TypeError
        ? 'it is not UTF-8. Send text as UTF-8'
        : 'it cannot be parsed. Check quotes and backslashes';
    throw new InvalidJson(`The body must be JSON ${form}, but ${reason}.`);
  }
}

/** Bytes of a body that somebody without a token may send, and how long that may take. */
const OPEN_BODY = { bytes: 16_384, seconds: 10 } as const;

/** The body of a request that needs no token. Throws `RequestTooLarge`, and `InvalidJson` when it does not arrive in time. */
export function readOpenBody(request: Request, shutdown: OneShotEvent): Promise<Uint8Array> {
  let total = 0;
  const count = (bytes: number): void => {
    total += bytes;
    if (total > OPEN_BODY.bytes) throw new RequestTooLarge(`A request here may have ${OPEN_BODY.bytes} bytes.`);
  };
  return inTime(readBody(request, count), Deadline.after(OPEN_BODY.seconds), shutdown);
}

async function readInTime(request: Request, { deadline, shutdown, count, turn }: BodyReading): Promise<Uint8Array> {
  const bytes = await inTime(readBody(request, count), deadline, shutdown);
  await requireConnection(request);
  if (bytes.length > LONG_BODY_BYTES) await turn(GARBAGE_TIMES * bytes.length);
  return bytes;
}

/**
 * Bun closes a connection on which a request follows before the one ahead of it is answered. What came in one piece with
 * that is looked at in this turn of its loop: nothing is run whose answer could not be sent.
 */
async function requireConnection(request: Request): Promise<void> {
  await setImmediate();
  if (request.signal.aborted)
    throw new InvalidRequest('The connection was closed before the call began. Send one request at a time on it.');
}

async function readBody(request: Request, count: (bytes: number) => void): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const announced = announcedBytes(request.headers);
  if (announced === undefined) return readChunks(request.body, count);
  // With a Content-Length, the server reads no more than that, and it was checked before.
  count(announced);
  return new Uint8Array(await request.arrayBuffer());
}

const PIECES_AT_ONCE = 256;
const FIRST_ROOM_BYTES = 16_384;

async function readChunks(body: ReadableStream<Uint8Array>, count: (bytes: number) => void): Promise<Uint8Array> {
  let room = Buffer.alloc(0);
  let total = 0;
  let pieces = 0;
  for await (const chunk of body) {
    if (++pieces % PIECES_AT_ONCE === 0) await setImmediate();
    if (total + chunk.length > MAX_BODY_BYTES) throw tooLarge();
    if (total + chunk.length > room.length) {
      const size = Math.min(MAX_BODY_BYTES, Math.max(2 * room.length, total + chunk.length, FIRST_ROOM_BYTES));
      count(size - room.length);
      room = Buffer.concat([room], size);
    }
    room.set(chunk, total);
    total += chunk.length;
  }
  return room.subarray(0, total);
}

/** What `reading` gives, unless the deadline passes or the agent stops first: nobody waits for a body half sent. */
function inTime<T>(reading: Promise<T>, deadline: Deadline, shutdown: OneShotEvent): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(() => reject(new InvalidJson('The body did not arrive in time. Send it whole.'))),
      deadline.leftMs,
    );
    let unsubscribe = (): void => {};
    const settle = (end: () => void): void => {
      clearTimeout(timer);
      unsubscribe();
      end();
    };
    unsubscribe = shutdown.subscribe(() => settle(() => reject(new ShuttingDown())));
    reading.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(readingFault(error))),
    );
  });
}

function readingFault(error: unknown): unknown {
  if (error instanceof AgentError) return error;
  return new InvalidJson('The connection was closed before the whole body had arrived.');
}

const CALL_FORM = 'of the form {"op":"shell","args":{"cmd":"uptime"}}';

/**
 * Reads a call `{"op","args"}`. Throws `InvalidJson` for another shape, `InvalidOperation` for an unknown name, and what
 * `readJson` throws.
 */
export async function readCall(
  request: Request,
  reading: BodyReading,
  operations: ReadonlyMap<string, Operation>,
): Promise<{ readonly operation: Operation; readonly args: unknown }> {
  const body = await readJson(request, reading, CALL_FORM);
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new InvalidJson(`The body must be a JSON object ${CALL_FORM}.`);
  const op: unknown = 'op' in body ? body.op : undefined;
  const operation = typeof op === 'string' ? operations.get(op) : undefined;
  if (operation === undefined) {
    throw new InvalidOperation(
      `op must be one of ${[...operations.keys()].join(', ')}, ${op === undefined ? 'and is missing' : `not ${preview(op)}`}.`,
    );
  }
  return { operation, args: 'args' in body ? body.args : undefined };
}
