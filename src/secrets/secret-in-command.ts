import type { Assignment, Command, SyntaxNode, Word, WordPart } from 'unbash';
import { type Place, type Quiet, quietPlaces, type Told } from '../shell/places.ts';
import { rawText } from '../shell/words.ts';
import { secretArguments } from './secret-arguments.ts';
import { isSecretName, type NamedValue } from './secret-assignments.ts';
import { type Invoked, invokedBy, literals, printed, secretFiles, secretInput } from './secret-input.ts';
import { mayTell, quoteBefore } from './secret-names.ts';
import { harmlessUses, isDisguised, isUsedHidden, usesOf } from './secret-uses.ts';
import { PLACEHOLDER } from './secret-values.ts';

/**
 * Characters of a command that a mark may replace: letters, digits, and signs that begin nothing new for a shell, a
 * program that reads escapes (`\n`, `\x0a`, `%s`), `env -S`, `make` or a language. A mark ends before every other
 * character.
 */
const INERT = String.raw`[\p{L}\p{M}\p{N}_+/=.~: -]`;
const ALL_INERT = new RegExp(`^${INERT}{1,1024}$`, 'u');
const NOT_INERT = new RegExp(`(?!${INERT})[^]`, 'u');
/** Hashes of passwords have a sign between their parts with which a variable begins. */
const NOT_OF_HASH = new RegExp(String.raw`(?!\$|${INERT})[^]`, 'u');

/** Returns how many characters at the beginning of a value of this kind a mark may replace. */
export function inertLength(value: string, kind: string): number {
  const length = value.search(kind === 'password hash' ? NOT_OF_HASH : NOT_INERT);
  return length === -1 ? value.length : length;
}

/** They take the text of a program, in which a value without quotes may be run. */
const LANGUAGES =
  /(?<![\w-])(?:perl|python|pypy|ruby|irb|node|bun|deno|php|lua|tclsh|wish|expect|[gmn]?awk|sed|make|gmake|gdb|lldb|vim?|nvim|ex|ed|emacs|m4|bc|dc|jq|Rscript|julia|guile|octave|sqlite3|psql|mysql|groovy|scala|swift|elixir|erl|ghci?|busybox|env\s+(?:-\S+\s+)*(?:-\w*S|--split))/;
/** A value that such a program only uses as a value: a single word. */
const WORD = /^[\w-]+$/;
const AFTER_WORD = /^(?:[\s"',;)}\]&|<>@]|$)/;

const RUNNER = String.raw`(?<![\w.-])(?:(?:ba|da|z|k|mk|pdk|a|c|tc|fi)?sh|busybox|xargs|parallel|at|batch|crontab|perl|python|ruby|node|php|tclsh|lua|make|source|eval)(?![\w-])`;
/** The output of a program is run, and may be part of its own words. */
const RUN_AS_TEXT = new RegExp(
  String.raw`\|[^|;\n]{0,200}?${RUNNER}|${RUNNER}[^;|\n]{0,200}?<\(|(?<![\w.-])eval(?![\w-])|(?:^|[\s;&|(])\.\s+<\(`,
);
/** They name what runs. */
const NAMERS = /(?<![\w-])(?:alias|hash|enable)\s/;
/** They make a program from letters and digits, such as those of a token or of the lines of a key. */
const DECODES = new RegExp(
  [
    String.raw`(?<![\w.-])base(?:64|32|nc)\s(?:[^;|&\n]{0,200}?\s)?-(?:\w{0,4}[dD]\w{0,4}|-d[a-z]{0,5})(?![\w-])`,
    String.raw`(?<![\w.-])(?:openssl|gpg2?|age)\s(?:[^;|&\n]{0,200}?\s)?--?d(?:ec(?:ode|rypt))?(?![\w-])`,
    String.raw`(?<![\w.-])xxd\s(?:[^;|&\n]{0,200}?\s)?-\w{0,8}r`,
    String.raw`(?<!\w)(?:uudecode|mimencode|munpack|qprint|[bau]\w{0,12}\d{2}_?decode|decode_?(?:base)?\d{2}|base\d{2}_?decode|unhexlify|fromhex|hex2bin|atob|@base(?:64|32)d|Buffer\.from)(?!\w)`,
    String.raw`(?<!\w)(?:un)?pack[\s(]{0,2}["'q]`,
  ].join('|'),
);
/** The decoded text is printed at the end, and nothing else. */
const PRINTS_DECODED = /^[^>\x60()]*\|\s{0,4}base(?:64|32)\s{1,4}(?:-d|-D|--decode)\s*$/;
const TO_NOWHERE = /(?<=\s)[12&]?>\s?(?:\/dev\/null|&[12])(?=\s)/g;

/** A value gets a name. */
const ASSIGNS = /(?<![\w-])\w+(?:\[[^\]\s]{0,64}\])?\+?=/;

const SHORTEST = 3;

/** Finds where values end in a command that may be masked in its record. */
export class CommandValues {
  readonly #cmd: string;
  readonly #isSeen: boolean;
  readonly #isRunAsText: boolean;
  readonly #isLanguage: boolean;
  /** Neither the name of a variable nor that of a program shows that a value is not run. */
  readonly #isNameless: boolean;
  #quiet: Quiet | undefined;
  readonly #harmless = new Set<number>();

  constructor(cmd: string) {
    this.#cmd = cmd;
    // What text becomes on its way to a shell is unknown: no name shows that a part of it is not a program.
    this.#isRunAsText = RUN_AS_TEXT.test(cmd) || NAMERS.test(cmd);
    this.#isSeen = this.#isRunAsText || isDecoded(cmd);
    this.#isLanguage = LANGUAGES.test(cmd);
    this.#isNameless = isDisguised(cmd) || this.#isUsed();
  }

  /** Whether everything except what no client has chosen must stay visible, because a part of it could be run. */
  get isSeen(): boolean {
    return this.#isSeen;
  }

  /** The secrets that only the syntax of the command shows. */
  get told(): readonly { readonly start: number; readonly end: number; readonly kind: 'password' }[] {
    if (this.#isRunAsText || this.#isNameless || !mayTell(this.#cmd)) return [];
    // The password of a decoder is not what is decoded.
    return this.#read()
      .told.filter(({ isArgument, isValue }) => !this.#isSeen || (isArgument === true && !isValue))
      .filter(({ start, end }) => end - start >= SHORTEST && !PLACEHOLDER.test(this.#cmd.slice(start, end)))
      .map(({ start, end }) => ({ start, end, kind: 'password' }));
  }

  /** Whether the character at `at` may be in a word that a shell runs. */
  isRun(at: number): boolean {
    return this.#isSeen || this.#placeOf(at) === undefined;
  }

  /**
   * Returns where `value` ends; undefined if it must stay visible, because a shell could run it. Text in quotes is one
   * word if these are quotes of the shell.
   */
  endOf(value: NamedValue): number | undefined {
    const { start, end, before } = value;
    if (this.#isSeen || this.#isNameless || value.isColumn === true || /[\n\r]/.test(before)) return undefined;
    const place = this.#placeOf(start);
    if (place === undefined || !this.#isName(value) || mayFollow(value, place)) return undefined;
    const isWhole = place.isQuoted && !place.isRunner && quoteBefore(this.#cmd, value) === place.start - 1;
    if (isWhole && ALL_INERT.test(this.#cmd.slice(start, place.end))) return place.end;
    const last = Math.min(end, place.end);
    const length = this.#cmd.slice(start, last).search(/[\s"']/);
    const first = length === -1 ? last : start + length;
    return this.#isLanguage && !this.#isLiteral(value, first) ? undefined : first;
  }

  /** Whether a value is also one in the text of a program: a single word, or in its own quotes. */
  #isLiteral({ start, open }: NamedValue, end: number): boolean {
    const rest = this.#cmd.slice(end, end + 1);
    if (open !== '' && rest !== '' && open.endsWith(rest)) return ALL_INERT.test(this.#cmd.slice(start, end));
    return WORD.test(this.#cmd.slice(start, end)) && AFTER_WORD.test(rest);
  }

  /** Whether the reason for a secret is what it seems: a word of a program, or the program that a shell runs. */
  #isName({ at, bond }: NamedValue): boolean {
    return bond === 'argument' || bond === 'end' || this.#placeOf(at) !== undefined || this.#read().names.has(at);
  }

  /** Whether the variable of a secret is used where a program may run its value. */
  #isUsed(): boolean {
    const uses = usesOf(this.#cmd);
    if (uses.length === 0) return ASSIGNS.test(this.#cmd) && isUsedHidden(this.#cmd);
    if (isUsedHidden(this.#cmd)) return true;
    this.#read();
    return uses.some((at) => !this.#harmless.has(at));
  }

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

  /** The command is parsed when it is needed. */
  #read(): Quiet {
    this.#quiet ??= quietPlaces(this.#cmd, (node, text, isFunction) => {
      if (text === this.#cmd) for (const at of harmlessUses(node, text, isFunction)) this.#harmless.add(at);
      return toldSecrets(node, text, isFunction);
    });
    return this.#quiet;
  }
}

/** `system("sudo -p token: x")`: in the text of a program, the text after a name and a blank may be run. */
function mayFollow({ start, open, before, bond }: NamedValue, place: Place): boolean {
  return bond !== 'end' && place.isRunner && open === '' && place.start !== start && /\s/.test(before);
}

/** Whether something is decoded and then passed to another program or a file. */
function isDecoded(cmd: string): boolean {
  return DECODES.test(cmd) && !PRINTS_DECODED.test(cmd.replace(TO_NOWHERE, ''));
}

/**
 * Returns the parts of a piece of a script that its syntax makes the value of a secret: assigned, compared, passed or
 * read.
 */
export function toldSecrets(node: SyntaxNode, text: string, isFunction: (name: string) => boolean): readonly Told[] {
  switch (node.type) {
    case 'Assignment':
      return assigned(node, isFunction);
    case 'ParameterExpansion':
      return isSecretName(node.parameter) ? values(...operandsOf(node)) : [];
    case 'For':
    case 'Select':
      return isSecretName(node.name.value) ? values(...(node.wordlist ?? [])) : [];
    case 'TestBinary':
      return /^(?:==?|!=|=~)$/.test(node.operator) ? compared(node.left, node.right) : [];
    case 'Case':
      return secretIn(node.word) === undefined
        ? []
        : node.items.flatMap(({ pattern }) => compared(node.word, ...pattern));
    case 'Command':
      return given(node, text, isFunction);
    case 'Pipeline':
    case 'Redirected':
      return secretInput(node, text, isFunction);
    default:
      return [];
  }
}

function assigned({ name, value }: Assignment, isFunction: (name: string) => boolean): Told[] {
  if (!isSecretName(name)) return [];
  const words = value.type === 'Word' ? [value] : value.elements;
  if (/(?:pwd|passwd)$/i.test(name) && words.some(({ value: path }) => /^[/~$]/.test(path))) return [];
  const written = value.type === 'Word' ? values(value) : words.flatMap((word) => values(behindIndex(word)));
  return [...written, ...words.flatMap((word) => stoodFor(word, isFunction))];
}

/** What a word of a secret becomes by `${1:-value}` and `$(echo value)`. */
function stoodFor({ parts = [] }: Word, isFunction: (name: string) => boolean): Told[] {
  const inner = parts.flatMap((part): WordPart[] => (part.type === 'DoubleQuoted' ? [...part.parts] : [part]));
  return inner.flatMap((part) => {
    if (part.type === 'ParameterExpansion') return values(...operandsOf(part));
    return part.type === 'CommandExpansion' ? printed(part, isFunction).map((one) => ({ ...one, isValue: true })) : [];
  });
}

/** `[name]=value` of an array without its index. */
function behindIndex(word: Word): Word {
  const skipped = /^\[[^\]\s]*\]\+?=/.exec(word.text)?.[0].length ?? 0;
  if (skipped === 0) return word;
  const pos = word.pos + skipped;
  const parts = word.parts?.flatMap((part) => (part.end <= pos ? [] : [part.pos < pos ? { ...part, pos } : part]));
  return { ...word, pos, parts };
}

function operandsOf({ operation }: Extract<WordPart, { type: 'ParameterExpansion' }>): readonly Word[] {
  switch (operation?.type) {
    case 'Default':
      return operation.operator.endsWith('?') ? [] : [operation.operand];
    case 'Remove':
      return [operation.operand];
    case 'Replace':
      return [operation.pattern, operation.replacement];
    default:
      return [];
  }
}

/** The secret whose value makes up a word. */
function secretIn({ text, parts }: Word): string | undefined {
  if (parts === undefined) return undefined;
  return [...text.matchAll(/\$\{?([A-Za-z_]\w*)/g)].map(([, name = '']) => name).find(isSecretName);
}

/** What a secret is compared with. */
function compared(...words: readonly Word[]): Told[] {
  const name = words.map(secretIn).find((one) => one !== undefined);
  if (name === undefined) return [];
  // A program that reads a language compares its words.
  const isOfLanguage = /^(?:tok|tokens?|key)$/i.test(name);
  return words
    .filter((word) => secretIn(word) === undefined && (!isOfLanguage || /[A-Za-z].*\d|\d.*[A-Za-z]/.test(word.text)))
    .flatMap((word) => values(word));
}

/** Returns the words of a program that are secrets, and what it reads. */
function given(node: Command, text: string, isFunction: (name: string) => boolean): readonly Told[] {
  const invoked = invokedBy(node, isFunction);
  return [
    ...invoked.flatMap((one) => [...secretArguments(one), ...tested(one), ...secretFiles(one, isFunction)]),
    ...secretInput(node, text, isFunction),
  ];
}

/** `[ "$TOKEN" = value ]` */
function tested({ name, words }: Invoked): Told[] {
  if (name !== '[' && name !== 'test') return [];
  return words.flatMap((word, index) => {
    const [left, right] = [words[index - 1], words[index + 1]];
    if (left === undefined || right === undefined || !/^(?:==?|!=)$/.test(rawText(word))) return [];
    return compared(left, right);
  });
}

function values(...words: readonly Word[]): Told[] {
  return words.flatMap((word) => literals(word).map((part) => ({ ...part, isValue: true })));
}
