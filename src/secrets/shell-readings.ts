import { lastBefore, openQuote, type Quotes, type ShellQuotes, shellQuotes, unquoted } from './shell-quotes.ts';

/** So many characters before a place are looked at. */
export const LEAD = 160;

/** Nobody writes more shells within shells than that. */
const MAX_DEPTH = 6;

/** What stands before a place in a command, to a shell: to the first, or to one that gets what is in quotes there. */
export interface Reading {
  readonly text: string;
  /** Nothing stands before `text`. */
  readonly isAll: boolean;
  /** The quote that this is in; empty for the first shell. */
  readonly quote: string;
  /** What stands before its word, to the shell before. */
  readonly outer: string;
}

/** Reads a command as its shell does, and as shells do that it may start. */
export class ShellReader {
  readonly #cmd: string;
  readonly #quotes: ShellQuotes;

  constructor(cmd: string) {
    this.#cmd = cmd;
    this.#quotes = shellQuotes(cmd);
  }

  /** Where what stands in quotes ends that plainly begins at `at`; undefined where none does. */
  endOfQuotes(at: number): number | undefined {
    const last = lastBefore(this.#quotes.found, at + 1);
    return last?.open === at ? last.end : undefined;
  }

  /** Whether `at` plainly stands in no quotes. */
  isOutsideQuotes(at: number): boolean {
    const last = lastBefore(this.#quotes.found, at);
    return at < this.#quotes.clearUntil && (last === undefined || last.end < at);
  }

  /** What stands before `at`, up to `LEAD` characters. */
  lead(at: number): string {
    return this.#cmd.slice(Math.max(0, at - LEAD), at);
  }

  /** What is before `at` to each shell that may read it, the last of which has it outside of quotes; none where they are too many. */
  readings(at: number): readonly Reading[] {
    const first = { text: this.lead(at), isAll: at <= LEAD, quote: '', outer: '' };
    const readings: Reading[] = [first];
    for (let inner = this.#second(at, first); inner !== undefined; inner = within(inner)) {
      readings.push(inner);
      if (readings.length > MAX_DEPTH) return [];
    }
    return readings;
  }

  /** What is in the quotes that `at` is in. Where that is unclear, its line tells. */
  #second(at: number, first: Reading): Reading | undefined {
    const last = lastBefore(this.#quotes.found, at);
    if (last !== undefined && last.end >= at) return this.#inside(last, at);
    return at > this.#quotes.clearUntil ? within({ ...first, isAll: false }) : undefined;
  }

  #inside({ word, open }: Quotes, at: number): Reading {
    const quote = this.#cmd[open] ?? '';
    const from = at - LEAD;
    const isAll = word >= from;
    // Of quotes that began long ago, what is in them goes on as if they began here.
    const text = isAll ? this.#cmd.slice(word, at) : open < from ? quote + this.lead(at) : this.#cmd.slice(open, at);
    return { text: unquoted(text), isAll, quote, outer: this.lead(word) };
  }
}

/** What is in the quotes that are open at the end of a reading; undefined where none are. */
function within({ text, isAll }: Reading): Reading | undefined {
  const begin = isAll ? 0 : text.lastIndexOf('\n') + 1;
  const line = text.slice(begin);
  const last = openQuote(line);
  if (last === undefined) return undefined;
  const isWhole = isAll || begin > 0 || last.word > 0;
  const { word, open } = last;
  return {
    text: unquoted(line.slice(word)),
    isAll: isWhole,
    quote: line[open] ?? '',
    outer: text.slice(0, begin + word),
  };
}
