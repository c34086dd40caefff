import { type Place, type Quiet, quietPlaces } from '../shell/places.ts';
import type { NamedValue } from './secret-assignments.ts';
import { mayTell, toldSecrets } from './secret-in-syntax.ts';
import { quoteBefore } from './secret-names.ts';
import { PLACEHOLDER } from './secret-values.ts';

/**
 * What a mark in a command may stand for: letters, digits, and signs that begin nothing new for a shell, a program that
 * reads escapes (`\n`, `\x0a`, `%s`), `env -S`, `make` or a language. A mark ends before every other character.
 */
const INERT = String.raw`[\p{L}\p{M}\p{N}_+/=.~: -]`;
const ALL_INERT = new RegExp(`^${INERT}{1,1024}$`, 'u');
const NOT_INERT = new RegExp(`(?!${INERT})[^]`, 'u');
/** The hashes of passwords have a sign between their parts with which a variable begins. */
const NOT_OF_HASH = new RegExp(String.raw`(?!\$|${INERT})[^]`, 'u');

/** How many characters at the beginning of a value of this kind a mark may stand for. */
export function inertLength(value: string, kind: string): number {
  const length = value.search(kind === 'password hash' ? NOT_OF_HASH : NOT_INERT);
  return length === -1 ? value.length : length;
}

/** They take the text of a program: in that, a value without quotes may be what runs. */
const LANGUAGES =
  /(?<![\w-])(?:perl|python|pypy|ruby|irb|node|bun|deno|php|lua|tclsh|wish|expect|[gmn]?awk|sed|make|gmake|gdb|lldb|vim?|nvim|ex|ed|emacs|m4|bc|dc|jq|Rscript|julia|guile|octave|sqlite3|psql|mysql|groovy|scala|swift|elixir|erl|ghci?|busybox|env\s+(?:-\S+\s+)*(?:-\w*S|--split))/;
/** A value that such a program takes for a value and nothing else: a word by itself. */
const WORD = /^[\w-]+$/;
const AFTER_WORD = /^(?:[\s"',;)}\]&|<>@]|$)/;

/** They run what they read. */
const RUNNER = String.raw`(?<![\w.-])(?:(?:ba|da|z|k|mk|pdk|a|c|tc|fi)?sh|busybox|xargs|parallel|at|batch|crontab|perl|python|ruby|node|php|tclsh|lua|make|source|eval)(?![\w-])`;
/** What a program prints is run, and may be a part of its own words. */
const RUN_AS_TEXT = new RegExp(
  String.raw`\|[^|;\n]{0,200}?${RUNNER}|${RUNNER}[^;|\n]{0,200}?<\(|(?<![\w.-])eval(?![\w-])|(?:^|[\s;&|(])\.\s+<\(`,
);
/** They give a name to what runs. */
const NAMERS = /(?<![\w-])(?:alias|hash|enable)\s/;
/** They make a program of letters and digits, as a token or the lines of a key have them. */
const DECODES = new RegExp(
  [
    String.raw`(?<![\w.-])base(?:64|32|nc)\s(?:[^;|&\n]{0,200}?\s)?-(?:\w{0,4}[dD]\w{0,4}|-d[a-z]{0,5})(?![\w-])`,
    String.raw`(?<![\w.-])(?:openssl|gpg2?|age)\s(?:[^;|&\n]{0,200}?\s)?--?d(?:ec(?:ode|rypt))?(?![\w-])`,
    String.raw`(?<![\w.-])xxd\s(?:[^;|&\n]{0,200}?\s)?-\w{0,8}r`,
    String.raw`(?<!\w)(?:uudecode|mimencode|munpack|qprint|[bau]\w{0,12}\d{2}_?decode|decode_?(?:base)?\d{2}|base\d{2}_?decode|unhexlify|fromhex|hex2bin|atob|@base(?:64|32)d|Buffer\.from)(?!\w)`,
    String.raw`(?<!\w)(?:un)?pack[\s(]{0,2}["'q]`,
  ].join('|'),
);
/** What is decoded is printed at the end, and nothing else. */
const PRINTS_DECODED = /^[^>\x60()]*\|\s{0,4}base(?:64|32)\s{1,4}(?:-d|-D|--decode)\s*$/;
const TO_NOWHERE = /(?<=\s)[12&]?>\s?(?:\/dev\/null|&[12])(?=\s)/g;

/** Shorter ones are no secrets. */
const SHORTEST = 3;

/** Finds where values end in a command that may be masked in its record. */
export class CommandValues {
  readonly #cmd: string;
  readonly #isSeen: boolean;
  readonly #isRunAsText: boolean;
  readonly #isLanguage: boolean;
  #quiet: Quiet | undefined;

  constructor(cmd: string) {
    this.#cmd = cmd;
    // What text becomes on its way to a shell cannot be told: no name says that a part of it is no program.
    this.#isRunAsText = RUN_AS_TEXT.test(cmd) || NAMERS.test(cmd);
    this.#isSeen = this.#isRunAsText || isDecoded(cmd);
    this.#isLanguage = LANGUAGES.test(cmd);
  }

  /** Whether everything has to be seen but what nobody outside has chosen, because a part of it could be run. */
  get isSeen(): boolean {
    return this.#isSeen;
  }

  /** The secrets that only the syntax of the command tells. */
  get told(): readonly { readonly start: number; readonly end: number; readonly kind: 'password' }[] {
    if (this.#isRunAsText || !mayTell(this.#cmd)) return [];
    // The password of what decodes is not what is decoded.
    return this.#read()
      .told.filter(({ isArgument, isValue }) => !this.#isSeen || (isArgument === true && !isValue))
      .filter(({ start, end }) => end - start >= SHORTEST && !PLACEHOLDER.test(this.#cmd.slice(start, end)))
      .map(({ start, end }) => ({ start, end, kind: 'password' }));
  }

  /** Whether what is at `at` may stand in a word that a shell runs. */
  isRun(at: number): boolean {
    return this.#isSeen || this.#placeOf(at) === undefined;
  }

  /**
   * Where `value` ends; undefined where it has to be seen, because a shell could run it. What stands in quotes is one
   * word, where these are quotes of the shell.
   */
  endOf(value: NamedValue): number | undefined {
    const { start, end, before } = value;
    if (this.#isSeen || value.isColumn === true || /[\n\r]/.test(before)) return undefined;
    const place = this.#placeOf(start);
    if (place === undefined || !this.#isName(value)) return undefined;
    const isWhole = place.isQuoted && !place.isRunner && quoteBefore(this.#cmd, value) === place.start - 1;
    if (isWhole && ALL_INERT.test(this.#cmd.slice(start, place.end))) return place.end;
    const last = Math.min(end, place.end);
    const length = this.#cmd.slice(start, last).search(/[\s"']/);
    const first = length === -1 ? last : start + length;
    return this.#isLanguage && !this.#isLiteral(value, first) ? undefined : first;
  }

  /** Whether a value is one in the text of a program as well: a word by itself, or in quotes of its own. */
  #isLiteral({ start, open }: NamedValue, end: number): boolean {
    const rest = this.#cmd.slice(end, end + 1);
    if (open !== '' && rest !== '' && open.endsWith(rest)) return ALL_INERT.test(this.#cmd.slice(start, end));
    return WORD.test(this.#cmd.slice(start, end)) && AFTER_WORD.test(rest);
  }

  /** Whether what says that a value is secret is what it seems: a word of a program, or the program that a shell runs. */
  #isName({ at, bond }: NamedValue): boolean {
    return bond === 'argument' || bond === 'end' || this.#placeOf(at) !== undefined || this.#read().names.has(at);
  }

  /** The place that a character stands in. */
  #placeOf(at: number): Place | undefined {
    const { places } = this.#read();
    let [low, high] = [0, places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((places[middle]?.start ?? at) <= at) low = middle + 1;
      else high = middle;
    }
    const last = places[low - 1];
    return last !== undefined && at < last.end ? last : undefined;
  }

  /** The command is read when there is something to look at. */
  #read(): Quiet {
    this.#quiet ??= quietPlaces(this.#cmd, toldSecrets);
    return this.#quiet;
  }
}

/** Whether something is decoded that then goes on to another program or a file. */
function isDecoded(cmd: string): boolean {
  return DECODES.test(cmd) && !PRINTS_DECODED.test(cmd.replace(TO_NOWHERE, ''));
}
