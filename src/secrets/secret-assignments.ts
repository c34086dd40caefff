import type { NamedValue } from './named-value.ts';
import { isSecretName } from './secret-words.ts';

/** A part of every name of a secret. */
const PARTS = /pass|pwd|pw|secret|token|key|cred|psk|jwt|bearer|mnemonic|otp|auth|pincode|cookie|codes/gi;

const OF_NAME = /[\w.-]/;
/** A longer one is no name. */
const LONGEST_NAME = 64;
/** `api key`, `unseal key 1`, `pass phrase`: names of two words for people. */
const WORD_BEFORE = /(?<![\w.-])[A-Za-z]{2,16} $/;
const WORD_BEHIND = /[ -](?:\d{1,2}|phrase|word|code)(?=\s{0,4}:)/iy;

/** Between a name and its value: quotes and brackets that end, and a sign. */
const SIGN =
  /(?:\\{0,3}["'])?\]?[ \t]{0,64}(?:=>|\?=|:=|=(?![=~])|\??:(?!\/\/|:)=?|::(?=[ \t]{1,4}[A-Za-z0-9+/]{8}))[ \t]{0,64}(?<open>\\{0,3}["'])?/y;
/** Two columns, of which the second ends the line. */
const COLUMN = /(?:[ \t]{2,64}|\t|[ \t]{0,64}\|[ \t]{1,64})(?=[^\s|]{12,512}[ \t|]{0,200}\r?(?:\n|$))/y;
const FIRST_COLUMN = /(?:^|\n)[ \t|]{0,16}$/;

/** The value up to what ends one in most places. */
const VALUE = /[^\s"',;&|)}\]]{1,4096}/y;

/** The values in `text` that stand behind the name of a secret and a sign. Looks at each character a fixed number of times. */
export function assignedValues(text: string): NamedValue[] {
  const found: NamedValue[] = [];
  let done = 0;
  PARTS.lastIndex = 0;
  for (let part = PARTS.exec(text); part !== null; part = PARTS.exec(text)) {
    if (part.index < done) continue;
    let [at, end] = [part.index, PARTS.lastIndex];
    while (at > done && at > part.index - LONGEST_NAME && OF_NAME.test(text[at - 1] ?? '')) at--;
    while (end < part.index + LONGEST_NAME && OF_NAME.test(text[end] ?? '')) end++;
    done = end;
    PARTS.lastIndex = end;
    const value = valueBehind(text, at, end);
    if (value === undefined) continue;
    found.push(value);
    // What stands in a value is no name.
    [done, PARTS.lastIndex] = [value.end, value.end];
  }
  return found;
}

function valueBehind(text: string, from: number, end: number): NamedValue | undefined {
  WORD_BEHIND.lastIndex = end;
  const behind = WORD_BEHIND.test(text) ? WORD_BEHIND.lastIndex : end;
  SIGN.lastIndex = behind;
  const sign = SIGN.exec(text) ?? column(text, from, end);
  if (sign === null) return undefined;
  const begin = nameBegin(text, from, end);
  if (begin === undefined) return undefined;
  const start = behind + sign[0].length;
  VALUE.lastIndex = start;
  const value = VALUE.exec(text)?.[0] ?? '';
  // A backslash before a quote belongs to that.
  const length = /["']/.test(text[start + value.length] ?? '') ? value.replace(/\\+$/, '').length : value.length;
  return {
    kind: 'password',
    bond: 'sign',
    at: begin,
    before: text.slice(begin, start),
    open: sign.groups?.['open'] ?? '',
    isColumn: /^[^:=]*$/.test(sign[0]),
    start,
    end: start + length,
  };
}

/** What stands between two columns of a table. */
function column(text: string, from: number, end: number): RegExpExecArray | null {
  COLUMN.lastIndex = end;
  const found = COLUMN.exec(text);
  return found !== null && FIRST_COLUMN.test(text.slice(Math.max(0, from - 18), from)) ? found : null;
}

/** Where a name begins that says that it is a secret's; undefined where it does not. */
function nameBegin(text: string, at: number, end: number): number | undefined {
  const first = text[at - 1] === '\\' ? text.slice(at, end).replace(/^[nrt]/, '') : text.slice(at, end);
  const name = first.replace(/^[.-]+/, '');
  // A line break that is written out (`\npassword`) is no part of a name.
  if (isSecretName(name)) return at;
  const begin = end - name.length;
  const [word] = /^keys?$/i.test(name) ? (WORD_BEFORE.exec(text.slice(Math.max(0, begin - 20), begin)) ?? []) : [];
  return word !== undefined && isSecretName(word + name) ? begin - word.length : undefined;
}
