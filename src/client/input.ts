import { isatty } from 'node:tty';
import { describeErrno } from '../lib/errors.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { InputFault } from './faults.ts';
import type { Order } from './sessions.ts';

/** Input up to this size that is available at once is sent with the call. */
const SMALL_BYTES = 524_288;
/** As JSON, with the rest of the call, it must stay below 1 MiB. */
const SMALL_JSON_CHARS = 900_000;
/** Input that has not ended by then is passed on as it comes. */
const PROMPT_MS = 250;
/** Most bytes of one `write_session`: a pipe of Linux holds 64 KiB. */
const PIECE_BYTES = 49_152;

/** Standard input, in a form that can be passed on. */
export type Input =
  | { readonly kind: 'none' }
  | { readonly kind: 'whole'; readonly text: string }
  | { readonly kind: 'pieces'; readonly pieces: AsyncIterable<Uint8Array> };

/**
 * Reads the beginning of `source`. Short input that is available goes with the call, other input follows in pieces. With
 * `wholeOnly`, waits for all of it, and throws `InputFault` when it is too long or not text.
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

/** Yields the chunks of `source`. Throws `InputFault` for an error of the system. */
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

/** Yields `chunks` in pieces of whole characters, at most 48 KiB each. Only the last may end inside a character. */
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

/** Decodes text; undefined for bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function notText(): InputFault {
  return new InputFault(
    'standard input is not UTF-8 text. With --detach, only text can be passed. Leave out --detach, or pass no input (-n).',
  );
}

function tooLong(): InputFault {
  return new InputFault(
    'standard input is longer than 512 KiB, the most with --detach. Leave out --detach, or pass no input (-n).',
  );
}

/** Largest terminal that the agent allows, in each direction. */
const MOST_CELLS = 1000;

/** The local terminal, passed on key by key until it is disposed of. */
export interface LocalTerminal extends Disposable {
  readonly input: Input;
  /** Arguments that make the remote terminal like this one. */
  readonly order: Pick<Order, 'pty' | 'rows' | 'cols'> & { readonly env: Readonly<Record<string, string>> };
}

/** Takes standard input as a terminal. Calls `refuse` when it is not one. */
export function openTerminal(
  { TERM, NO_COLOR }: Readonly<Record<string, string | undefined>>,
  refuse: (fault: string) => never,
): LocalTerminal {
  if (!isatty(0)) refuse('-t needs a terminal as standard input. Leave it out');
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
      // Commands of the agent have no colours by default; a person's terminal has, unless NO_COLOR is set.
      env: { ...(TERM !== undefined && { TERM }), NO_COLOR: NO_COLOR ?? '' },
    },
    [Symbol.dispose]: release,
  };
}

/** A terminal without a window, such as that of `script`, has no size. */
export function cells(count: number, usual: number): number {
  return count < 1 ? usual : Math.min(MOST_CELLS, count);
}
