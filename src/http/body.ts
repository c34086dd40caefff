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
import { isOfHub, type Operation } from '../operations/operation.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Checks the headers of a body before it is read. Throws `RequestTooLarge` and `UnsupportedEncoding`. */
export function requireReadable(headers: Headers): void {
  requireUnencoded(headers, 'plain JSON');
  if ((announcedBytes(headers) ?? 0) > MAX_BODY_BYTES) throw tooLarge();
}

/** Throws `UnsupportedEncoding` for a body that is compressed; `what` is to be sent in its place. */
export function requireUnencoded(headers: Headers, what: string): void {
  const encoding = headers.get('content-encoding')?.trim() ?? '';
  if (/^(?:identity)?$/i.test(encoding)) return;
  throw new UnsupportedEncoding(
    `Content-Encoding ${preview(encoding)} is not supported. Send ${what}, without that header.`,
  );
}

/** Parses `Content-Length`; undefined without one. Throws `InvalidRequest` unless it is one number. */
function announcedBytes(headers: Headers): number | undefined {
  const announced = headers.get('content-length');
  if (announced === null) return undefined;
  if (!/^\d{1,15}$/.test(announced)) throw new InvalidRequest('Content-Length must be one number. Send it once.');
  return Number(announced);
}

function tooLarge(): RequestTooLarge {
  return new RequestTooLarge(
    `A request may have at most ${MAX_BODY_BYTES} bytes. Send large data in several calls, for example by appending to a file.`,
  );
}

export interface BodyReading {
  readonly deadline: Deadline;
  readonly shutdown: OneShotEvent;
  /** Counts bytes for its token before they are read. Throws when the token has sent too many. */
  readonly count: (bytes: number) => void;
  /** Resolves when its token has its turn for a long body. */
  readonly turn: (garbageBytes: number) => Promise<void>;
}

/** A longer body takes milliseconds to parse, check and mask. */
const LONG_BODY_BYTES = 16_384;
/** A body: its bytes, its text and the parsed value. */
const GARBAGE_TIMES = 4;

/**
 * Reads the body as JSON, for any Content-Type. `form` describes the expected form in errors. Returns undefined for an
 * empty body with `mayBeEmpty`. Throws `InvalidJson` when it is not JSON in UTF-8 or does not arrive in time,
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

/** Limits of a body without a token, in bytes and milliseconds. */
const OPEN_BODY = { bytes: 16_384, seconds: 10 } as const;

/** Reads the body of a request without a token. Throws `RequestTooLarge`, and `InvalidJson` when it does not arrive in time. */
export function readOpenBody(request: Request, shutdown: OneShotEvent): Promise<Uint8Array> {
  let total = 0;
  const count = (bytes: number): void => {
    total += bytes;
    if (total > OPEN_BODY.bytes)
      throw new RequestTooLarge(`A request without a token may have at most ${OPEN_BODY.bytes} bytes.`);
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
 * Bun closes a connection when a request arrives before the one ahead of it is answered. This checks for that in the same
 * turn of the event loop, so that nothing runs whose answer could not be sent.
 */
async function requireConnection(request: Request): Promise<void> {
  await setImmediate();
  if (request.signal.aborted)
    throw new InvalidRequest(
      'The connection was closed before the call began. Send one request at a time on a connection.',
    );
}

async function readBody(request: Request, count: (bytes: number) => void): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const announced = announcedBytes(request.headers);
  if (announced === undefined) return readChunks(request.body, count);
  // With a Content-Length, which was checked before, the server reads no more than that.
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

/** Returns the result of `reading`, unless the deadline passes or the agent stops first. */
function inTime<T>(reading: Promise<T>, deadline: Deadline, shutdown: OneShotEvent): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(() => reject(new InvalidJson('The body did not arrive in time. Send all of it at once.'))),
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
    if (isOfHub(op))
      throw new InvalidOperation(
        `${op} is an operation of the hub of a fleet. This agent is not one, so nothing was done.`,
      );
    throw new InvalidOperation(
      `op must be one of ${[...operations.keys()].join(', ')}, ${op === undefined ? 'and is missing' : `not ${preview(op)}`}.`,
    );
  }
  return { operation, args: 'args' in body ? body.args : undefined };
}
