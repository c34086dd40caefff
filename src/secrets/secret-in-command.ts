import type { NamedValue } from './named-value.ts';
import { quoteBefore } from './secret-names.ts';
import { isArgumentAfter, isQuotedArgumentAfter } from './shell-arguments.ts';
import { openQuote } from './shell-quotes.ts';
import { LEAD, type Reading, ShellReader } from './shell-readings.ts';

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

/** What a command begins behind; not what is part of a redirection, or escaped. */
const COMMAND = String.raw`(?:^|(?<![\\<>])[;&|(\n])\s*`;
const PLAIN = String.raw`[^\s"'\x60$\\;&|<>()]`;
/** A variable is assigned behind it: by the shell, or by a program that takes its arguments for nothing else. */
const ASSIGNED = new RegExp(
  String.raw`${COMMAND}(?:(?:export|readonly|local|declare|typeset)\s+(?:-[a-zA-Z]{1,4}\s+)?|(?:env|then|do|else)\s+)?(?:[A-Za-z_]\w*=(?:"[^"\\$\x60\n]*"|'[^'\n]*'|${PLAIN})*\s+){0,8}$`,
);
/** The name of a program that is run stands behind it. */
const PROGRAM = new RegExp(
  String.raw`${COMMAND}(?:(?:sudo|doas)\s+(?:-[nEHk]+\s+|-[ug]\s+[\w-]+\s+){0,4}|(?:env|exec|nohup|time|command|then|do|else|if|while|until|!|\{)\s+|[A-Za-z_]\w*=${PLAIN}*\s+){0,6}(?:[\w./-]{0,100}\/)?$`,
);

/**
 * Behind it stands what a shell runs, also one that reads what is in quotes: the first word of a command, the name of a
 * function, what a program is to run, and a file that is read or written.
 */
const RUN_WORD = new RegExp(
  String.raw`(?:(?:^|[;&|\n\x60]|[{!]\s|(?<![\w=])\(|\)\s)\s*|(?<!<)[<>]\s*|(?:^|[\s;&|(\x60'"/])(?:sudo|doas|env|exec|nohup|setsid|time|timeout|nice|ionice|stdbuf|watch|chroot|command|builtin|type|function|unset|trap|then|do|else|elif|if|while|until|\.|-exec|-execdir|-ok|${RUNNER})\s+(?:-\S{1,40}\s+|[\d.]{1,8}[smh]?\s+){0,6}|(?:^|[\s;&|(])[A-Za-z_]\w*\+?=${PLAIN}*\s+)["'\\]{0,8}$`,
);
const WORD_START = /[^\s;&|<>()\x60"'=]{0,200}$/;
/** A here-document that is copied, by itself. */
const COPIED =
  /^[ \t]*(?:sudo )?(?:cat|tee)(?: [\w./>~-]{1,200}){0,6} ?<<-?[ ]?(?<mark>["']?)(?<end>\w{1,40})\k<mark>(?: [\w./>~-]{1,200}){0,6}\n/;
/** A longer line begins nothing that is looked for. */
const MOST_COPIED = 1000;

/** The beginning of a word that is no assignment, no redirection, and ends no quotes. */
const WORD_BEGIN = /(^|[\s;&|(`])(?:-[\w-]{0,40}=?|[\w.,:/*@%+~^!?#-]{0,100})((?:\\["']|[{[]){0,8})$/;
/** `"token": `, `\"token\": `. */
const NAME_IN_QUOTES = /^[\w.-]+(\\*["'])/;
/** They print a line break for `\n`. */
const PRINTS = /(?:^|[\s;&|(])(?:echo\s+-[en]*e[en]*|printf)\s+$/;

/** Values that are looked at in one command, 10 µs each: what has more of them is made to hold the agent up, and is shown. */
const MOST_LOOKS = 10_000;

interface Place {
  readonly start: number;
  readonly end: number;
}

/** Tells where values end in a command that may be masked in its record. */
export class CommandValues {
  readonly #cmd: string;
  readonly #reader: ShellReader;
  readonly #isSeen: boolean;
  readonly #isLanguage: boolean;
  /** What a here-document copies: no line of it is a command. */
  readonly #copied: Place | undefined;
  #looks = 0;

  constructor(cmd: string) {
    this.#cmd = cmd;
    this.#reader = new ShellReader(cmd);
    // What text becomes on its way to a shell cannot be told: no name says that a part of it is no program.
    this.#isSeen = RUN_AS_TEXT.test(cmd) || NAMERS.test(cmd) || isDecoded(cmd);
    this.#copied = this.#isSeen ? undefined : copied(cmd, this.#reader);
    this.#isLanguage = LANGUAGES.test(cmd);
  }

  /** Whether everything has to be seen but what nobody outside has chosen, because a part of it could be run. */
  get isSeen(): boolean {
    return this.#isSeen;
  }

  /** Whether what is at `at` may stand in a word that a shell runs. */
  isRun(at: number): boolean {
    if (this.#isSeen || this.#looks++ >= MOST_LOOKS) return true;
    if (this.#copied !== undefined && at >= this.#copied.start && at < this.#copied.end) return false;
    const word = WORD_START.exec(this.#cmd.slice(Math.max(0, at - LEAD), at))?.[0] ?? '';
    return RUN_WORD.test(this.#reader.lead(at - word.length));
  }

  /**
   * Where `value` ends; undefined where it has to be seen, because a shell could run it. What stands in quotes is one
   * word, where these plainly are quotes of the shell.
   */
  endOf(value: NamedValue): number | undefined {
    if (this.#isSeen || this.#looks++ >= MOST_LOOKS || !this.#isMasked(value)) return undefined;
    const { start, end } = value;
    const quote = quoteBefore(this.#cmd, value);
    const last = quote === undefined ? undefined : this.#reader.endOfQuotes(quote);
    if (last !== undefined && ALL_INERT.test(this.#cmd.slice(start, last)) && this.#isWhole(value)) return last;
    const length = this.#cmd.slice(start, end).search(/[\s"']/);
    const first = length === -1 ? end : start + length;
    return this.#isLanguage && !this.#isLiteral(value, first) ? undefined : first;
  }

  /** Whether a value is one in the text of a program as well: a word by itself, or in quotes of its own. */
  #isLiteral({ start, open }: NamedValue, end: number): boolean {
    const rest = this.#cmd.slice(end, end + 1);
    if (open !== '' && rest !== '' && open.endsWith(rest)) return ALL_INERT.test(this.#cmd.slice(start, end));
    return WORD.test(this.#cmd.slice(start, end)) && AFTER_WORD.test(rest);
  }

  #isMasked(value: NamedValue): boolean {
    const { bond, before } = value;
    if (value.isColumn === true) return false;
    if (/[\n\r]/.test(before)) return false;
    // To a shell, also one that reads what is in quotes here, `<` and `>` are redirections: the file would be hidden.
    if (/[<>]|["']\s*,\s*["']$/.test(before) && !/<<</.test(before)) return false;
    if (bond === 'argument') return this.#isRun(value);
    if (bond === 'option') return this.#isGiven(value);
    // What follows the blank after `NAME=` is what the shell runs; after `NAME =` it is an argument.
    return bond === 'end' || !/\s/.test(before) || (!/[^\s=]=[^=]*\s/.test(before) && this.#isGiven(value));
  }

  /** Whether all that stands in the quotes around a value is nothing but it, whoever reads it. */
  #isWhole(value: NamedValue): boolean {
    const { bond, before, at } = value;
    if (bond !== 'sign') return bond !== 'end';
    if (!/\S=["']?$/.test(before) || before.startsWith('-')) return this.#isGiven(value);
    const found = ASSIGNED.exec(this.#reader.lead(at));
    if (found === null) return false;
    // What begins a command does so in the shell's own eyes, not within quotes of a word.
    const isAtSign = /^[;&|(\n]/.test(found[0]);
    return isAtSign ? this.#reader.isOutsideQuotes(at - found[0].length) : found.index === 0 && at <= LEAD;
  }

  /** Whether the name of a value is an argument by itself, and so is the word after it, to all shells that may read it. */
  #isGiven({ at, before }: NamedValue): boolean {
    const readings = [...this.#reader.readings(at)];
    const mark = NAME_IN_QUOTES.exec(before)?.[1];
    const isOwn = mark !== undefined && isOpened(readings, mark);
    // Where the name is in quotes of its own, the value is where these are.
    if (isOwn) readings.pop();
    const last = readings.pop();
    if (last === undefined) return false;
    const text = isOwn ? last.text.slice(0, -1) : last.text;
    if (mark !== undefined && !isOwn && !(mark.startsWith('\\') && /\\["']$/.test(text))) return false;
    if (isClosed(last, isOwn ? before.replace(NAME_IN_QUOTES, '') : before, readings.length)) return false;
    if (!readings.every(isPassedOn)) return false;
    // `printf 'a\npassword: b'`.
    if (text.endsWith('\\') && /^[nrt]/.test(before) && PRINTS.test(last.outer))
      return isArgumentAfter(text.slice(0, -1), last.isAll);
    const [word, boundary = '', opening = ''] = WORD_BEGIN.exec(text) ?? [];
    if (word === undefined || (boundary === '' && !last.isAll)) return false;
    // What looks like an escaped quote may be the end of others, in which a backslash means nothing.
    if (opening.includes('\\') && this.#isWithin(last, text.length - opening.length, at)) return false;
    return isArgumentAfter(text.slice(0, text.length - word.length + boundary.length), last.isAll);
  }

  /** Whether quotes are open at a place in what a shell has before `at`. */
  #isWithin({ text, quote }: Reading, place: number, at: number): boolean {
    if (quote !== '') return openQuote(text.slice(0, place)) !== undefined;
    return this.#reader.readings(at - (text.length - place)).length !== 1;
  }

  /** Whether a program is run, and what stands between its name and the value is as many arguments as it seems. */
  #isRun({ at, before, open }: NamedValue): boolean {
    const readings = [...this.#reader.readings(at)];
    const last = readings.pop();
    if (last === undefined || !isLed(PROGRAM, last)) return false;
    if (!readings.every(isPassedOn)) return false;
    // Then what stands between is in as many quotes as the program is.
    return !/["']/.test(before.slice(0, before.length - open.length).replace(/"[^"]*"|'[^']*'/g, ''));
  }
}

/** Whether something is decoded that then goes on to another program or a file. */
function isDecoded(cmd: string): boolean {
  return DECODES.test(cmd) && !PRINTS_DECODED.test(cmd.replace(TO_NOWHERE, ''));
}

/** What the first here-document holds, where that is plainly one of `cat` or `tee`. */
function copied(cmd: string, reader: ShellReader): Place | undefined {
  const at = cmd.indexOf('<<');
  if (at < 1 || !reader.isOutsideQuotes(at - 1)) return undefined;
  const begin = cmd.lastIndexOf('\n', at) + 1;
  const first = COPIED.exec(cmd.slice(begin, begin + MOST_COPIED));
  if (first === null) return undefined;
  const start = begin + first[0].length;
  const end = cmd.indexOf(`\n${first.groups?.['end']}\n`, start - 1);
  return { start, end: end === -1 ? cmd.length : end };
}

/** What `shape` is about stands before a place; not where its beginning cannot be seen. */
function isLed(shape: RegExp, { text, isAll }: Pick<Reading, 'text' | 'isAll'>): boolean {
  const found = shape.exec(text);
  return found !== null && (isAll || found.index > 0);
}

/** Whether `mark` ends the quotes of the last of `readings`, and these have begun just before. */
function isOpened(readings: readonly Reading[], mark: string): boolean {
  const [outer, own] = readings.slice(-2);
  return own !== undefined && own.quote === mark.slice(-1) && /(?<!\\)["']$/.test(outer?.text ?? '');
}

/** Whether the quotes of a reading end in `before`, as far as can be told. */
function isClosed({ quote }: Reading, before: string, depth: number): boolean {
  return quote !== '' && (depth > 1 ? before : before.replace(/\\["']/g, '')).includes(quote);
}

/** What is in quotes is one word to the shell that has `text` before them. */
function isPassedOn({ text, isAll }: Reading): boolean {
  return isQuotedArgumentAfter(text, isAll);
}
