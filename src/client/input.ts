import { isatty } from 'node:tty';
import { describeErrno } from '../lib/errors.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { InputFault } from './faults.ts';
import type { Order } from './sessions.ts';

/** Input up to this size that is there at once goes along with the call. */
const SMALL_BYTES = 524_288;
/** Its JSON with what is around it has to stay below the 1 MiB of a call. */
const SMALL_JSON_CHARS = 900_000;
/** Input that is not at its end by then is passed on as it comes. */
const PROMPT_MS = 250;
/** Most of one `write_session`: a pipe of Linux holds 64 KiB. */
const PIECE_BYTES = 49_152;

/** Standard input, as it can be passed on. */
export type Input =
  | { readonly kind: 'none' }
  | { readonly kind: 'whole'; readonly text: string }
  | { readonly kind: 'pieces'; readonly pieces: AsyncIterable<Uint8Array> };

/**
 * Reads the beginning of `source`: input that is short and there goes with the call, other input follows in pieces. With
 * `wholeOnly`, waits for all of it. Throws `InputFault` for what is no text, or too long, with `wholeOnly`.
 */
export async function readInput(source: AsyncIterable<Uint8Array>, wholeOnly: boolean): Promise<Input> {
  const chunks = readable(source);
  const begun: Uint8Array[] = [];
  let size = 0;
  const late = wholeOnly ? undefined : Bun.sleep(PROMPT_MS).then(() => 'late' as const);
  for (;;) {
    const reading = chunks.next();
    const next = await (late === undefined ? reading : Promise.race([reading, late]));
    if (next === 'late') return { kind: 'pieces', pieces: piecesOf(begun, reading, chunks) };
    if (next.done === true) return wholeInput(begun, wholeOnly);
    begun.push(next.value);
    size += next.value.length;
    if (size <= SMALL_BYTES) continue;
    if (wholeOnly) throw tooLong();
    return { kind: 'pieces', pieces: piecesOf(begun, chunks.next(), chunks) };
  }
}

/** The chunks of `source`; what the system refuses is an `InputFault`. */
async function* readable(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* source;
  } catch (error) {
    throw new InputFault(`standard input cannot be read: ${describeErrno(error)}`);
  }
}

function wholeInput(chunks: readonly Uint8Array[], wholeOnly: boolean): Input {
  const bytes = Buffer.concat(chunks);
  if (bytes.length === 0) return { kind: 'none' };
  const text = textOf(bytes);
  if (text === undefined && wholeOnly) throw notText();
  if (text !== undefined && JSON.stringify(text).length <= SMALL_JSON_CHARS) return { kind: 'whole', text };
  if (wholeOnly) throw tooLong();
  return { kind: 'pieces', pieces: cut([bytes]) };
}

function piecesOf(
  begun: readonly Uint8Array[],
  pending: Promise<IteratorResult<Uint8Array>>,
  chunks: AsyncIterator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  return cut(
    (async function* () {
      yield* begun;
      for (let next = await pending; next.done !== true; next = await chunks.next()) yield next.value;
    })(),
  );
}

/** `chunks` in pieces of whole characters, at most 48 KiB long; only the last one may end with a part of a character. */
async function* cut(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const piece = withoutTail(rest.subarray(0, PIECE_BYTES));
      if (piece.length === 0) break;
      yield piece;
      rest = rest.subarray(piece.length);
    }
  }
  if (rest.length > 0) yield rest;
}

function withoutTail<T extends Uint8Array>(bytes: T): T {
  return bytes.subarray(0, bytes.length - incompleteTail(bytes)) as T;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes as text; undefined for what is no UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function notText(): InputFault {
  return new InputFault(
    'standard input is no UTF-8 text, and only text can be passed to a command that nobody follows. Leave --detach out, or pass no input with -n.',
  );
}

function tooLong(): InputFault {
  return new InputFault(
    'standard input is too long for a command that nobody follows (512 KiB). Leave --detach out, or pass no input with -n.',
  );
}

/** What the agent takes at most, in each direction. */
const MOST_CELLS = 1000;

/** The terminal of the person at this machine, passed on key by key until it is disposed of. */
export interface LocalTerminal extends Disposable {
  readonly input: Input;
  /** Makes the remote terminal one like this. */
  readonly order: Pick<Order, 'pty' | 'rows' | 'cols'> & { readonly env: Readonly<Record<string, string>> };
}

/** Takes the terminal that standard input is. `refuse` is called when it is not a terminal. */
export function openTerminal(
  { TERM, NO_COLOR }: Readonly<Record<string, string | undefined>>,
  refuse: (fault: string) => never,
): LocalTerminal {
  if (!isatty(0)) refuse('-t needs a terminal as standard input; leave it out here');
  const { stdin } = process;
  const [cols, rows] = isatty(1) ? process.stdout.getWindowSize() : [0, 0];
  const release = (): void => {
    stdin.setRawMode(false);
  };
  stdin.setRawMode(true);
  process.on('exit', release);
  return {
    input: { kind: 'pieces', pieces: process.stdin as AsyncIterable<Uint8Array> },
    order: {
      pty: true,
      rows: cells(rows, 24),
      cols: cells(cols, 120),
      // A person's terminal has colours, unless the person wants none; the agent's commands have none by default.
      env: { ...(TERM !== undefined && { TERM }), NO_COLOR: NO_COLOR ?? '' },
    },
    [Symbol.dispose]: release,
  };
}

/** A terminal that nobody looks at has no size: `script`, a runner of tests. */
export function cells(count: number, usual: number): number {
  return count < 1 ? usual : Math.min(MOST_CELLS, count);
}
