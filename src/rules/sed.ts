import { asksAboutItself, type Look, NOTHING, unreadable } from './look.ts';
import { isNoOption, known, since, type Text } from './words.ts';

/** Reads its script: the command `e`, and the flag `e` of `s`, run what is in the line. */
export const sed: Look = (args) => {
  if (asksAboutItself(args)) return NOTHING;
  const script = scriptOf(args);
  if (script?.isKnown === true && isHarmless(script.text)) return NOTHING;
  return unreadable('a command of its script may run a program');
};

const PLAIN = [
  'quiet',
  'silent',
  'debug',
  'follow-symlinks',
  'in-place',
  'posix',
  'regexp-extended',
  'separate',
  'sandbox',
  'unbuffered',
  'null-data',
  'zero-terminated',
];

/** All of its script; undefined: nobody can tell which of the words it is. */
function scriptOf(args: readonly Text[]): Text | undefined {
  const scripts: Text[] = [];
  const operands: Text[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined || (!arg.isKnown && !isNoOption(arg) && !arg.text.startsWith('-'))) return undefined;
    if (arg.isKnown && arg.text === '--') {
      operands.push(...args.slice(index + 1));
      break;
    }
    const given = arg.text.startsWith('-') && arg.text !== '-' ? givenBy(arg) : undefined;
    if (given === 'untold') return undefined;
    if (given === undefined) {
      operands.push(arg);
      continue;
    }
    if (given === 'plain') continue;
    const value = given.value ?? args[++index];
    if (value === undefined || value.maySplit) return undefined;
    if (given.isScript) scripts.push(value);
  }
  const all = scripts.length > 0 ? scripts : operands.slice(0, 1);
  if (all.length === 0 || all.some(({ isKnown }) => !isKnown)) return undefined;
  return known(all.map(({ text }) => text).join('\n'));
}

type Given = 'plain' | 'untold' | { readonly isScript: boolean; readonly value: Text | undefined };

function givenBy(arg: Text): Given {
  if (!arg.text.startsWith('--')) return valueOfShort(arg);
  const sign = arg.text.indexOf('=');
  if (sign === -1 && !arg.isKnown) return 'untold';
  const name = arg.text.slice(2, sign === -1 ? undefined : sign);
  const value = sign === -1 ? undefined : since(arg, sign + 1);
  if (name.startsWith('ex') && 'expression'.startsWith(name)) return { isScript: true, value };
  if (name.startsWith('l') && 'line-length'.startsWith(name)) return { isScript: false, value };
  return PLAIN.some((one) => one.startsWith(name)) && !'file'.startsWith(name) ? 'plain' : 'untold';
}

function valueOfShort(arg: Text): Given {
  for (let at = 1; at < arg.text.length; at++) {
    const letter = arg.text[at] ?? '';
    if (letter === 'i') return arg.maySplit ? 'untold' : 'plain';
    if (letter === 'e' || letter === 'l') {
      const isLast = at + 1 === arg.text.length;
      if (isLast && !arg.isKnown) return 'untold';
      return { isScript: letter === 'e', value: isLast ? undefined : since(arg, at + 1) };
    }
    if (!'nErsuz'.includes(letter)) return 'untold';
  }
  return arg.isKnown ? 'plain' : 'untold';
}

/** Whether all of a script is understood, and none of it runs a program. */
function isHarmless(script: string): boolean {
  const reader = new Reader(script);
  while (!reader.isAtEnd) if (!reader.command()) return false;
  return true;
}

class Reader {
  #at = 0;

  constructor(private readonly text: string) {}

  get isAtEnd(): boolean {
    this.#skip(/[\s;]*/y);
    return this.#at >= this.text.length;
  }

  /** Reads one command with its addresses; false: it is not understood, or it runs a program. */
  command(): boolean {
    if (!this.#addresses()) return false;
    this.#skip(/\s*(?:!\s*)*/y);
    const letter = this.text[this.#at++] ?? '';
    if (letter === '{') return true;
    if (letter === '#') return this.#skip(/[^\n]*/y);
    if (letter === 's') return this.#delimited(2, 1) && this.#skip(/[gpiImM0-9]*/y) && (this.#file() || this.#ends());
    if (letter === 'y') return this.#delimited(2, 2) && this.#ends();
    if ('aic'.includes(letter)) return this.#skip(/(?:[^\n\\]|\\[\s\S])*\\?/y);
    if ('rRwW'.includes(letter)) return this.#skip(/[^\n]*/y);
    if (':btT'.includes(letter)) return this.#skip(/[ \t]*[\w.-]*/y) && this.#ends();
    if ('lLqQ'.includes(letter)) return this.#skip(/[ \t]*\d*/y) && this.#ends();
    return letter !== '' && '}=dDgGhHnNpPxzF'.includes(letter) && this.#ends();
  }

  #addresses(): boolean {
    if (!this.#address()) return false;
    this.#skip(/[ \t]*/y);
    if (this.text[this.#at] !== ',') return true;
    this.#at++;
    this.#skip(/[ \t]*[+~]?/y);
    return this.#address();
  }

  #address(): boolean {
    const first = this.text[this.#at];
    if (first !== '/' && first !== '\\') return this.#skip(/\d*(?:~\d*)?\$?/y);
    if (first === '\\') this.#at++;
    return this.#delimited(1, 0) && this.#skip(/[IM]*/y);
  }

  /** Texts between a character and its next: `/a/b/`; the last of them are `plain`, the others expressions. */
  #delimited(count: number, plain: number): boolean {
    const mark = this.text[this.#at++] ?? '\n';
    // What is a quote there in one sed is none in another.
    if (!/[!-~]/.test(mark) || /[\\[\]{}A-Za-z0-9]/.test(mark)) return false;
    for (let left = count; left > 0; this.#at++) {
      const letter = this.text[this.#at];
      if (letter === undefined) return false;
      if (letter === '\\') this.#at++;
      else if (letter === mark) left--;
      else if (letter === '[' && left > plain && !this.#class()) return false;
    }
    return true;
  }

  /** A class of characters, in which the mark may stand: `[^/]`. A sed that ends there finds a fault, and runs nothing. */
  #class(): boolean {
    const body = /\[\^?\]?(?:\[[:.=][^\n\]]*\]|\[(?![:.=])|[^\n\][])*\]/y;
    body.lastIndex = this.#at;
    const found = body.exec(this.text)?.[0];
    if (found === undefined || found.endsWith('\\]')) return false;
    this.#at += found.length - 1;
    return true;
  }

  #file(): boolean {
    return this.text[this.#at] === 'w' && this.#skip(/[^\n]*/y);
  }

  #ends(): boolean {
    this.#skip(/[ \t]*/y);
    const next = this.text[this.#at];
    return next === undefined || ';\n}#'.includes(next);
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    this.#at += pattern.exec(this.text)?.[0].length ?? 0;
    return true;
  }
}
