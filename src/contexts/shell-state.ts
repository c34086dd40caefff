/**
 * The state that a shell has written: texts that bash itself prints (`declare -p`, `declare -f`, `alias`, `set +o`,
 * `shopt -p`). Bytes are characters of latin1, so that no value is changed. The agent runs none of it: it accepts what
 * has the form that bash prints, and the same shell in the same sandbox reads it again.
 */
export interface ShellState {
  readonly cwd: string;
  /** Whether it has more names than are kept, so that some are missing here. */
  readonly isCut: boolean;
  /** By name, each as the text that defines it. */
  readonly variables: ReadonlyMap<string, string>;
  readonly functions: ReadonlyMap<string, string>;
  /** `declare -fx NAME`, by the name of the function. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly aliases: ReadonlyMap<string, string>;
  /** `set -o errexit`, `shopt -s extglob`: a line for each option, by what it sets (`set errexit`). */
  readonly options: ReadonlyMap<string, string>;
}

/** One text that restores a part of a shell, and which part. */
export interface ContextItem {
  readonly kind: 'variable' | 'function' | 'attribute' | 'option' | 'alias';
  readonly name: string;
  readonly text: string;
}

/**
 * The sections of a state file: `[`, records that each begin with the letter of their kind, `]`; `!` marks omitted
 * records.
 */
const [BEGIN, END, CUT] = ['[', ']', '!'];

/** Returns the first and the last complete state that a shell has written. A command may have written any number. */
export function parseStates(text: string): ShellState[] {
  const records = text.split('\0');
  const complete: [begin: number, end: number][] = [];
  let begin: number | undefined;
  for (const [index, record] of records.entries()) {
    if (record === BEGIN) begin = index;
    else if (record === END && begin !== undefined) {
      complete.splice(1, 1, [begin, index]);
      begin = undefined;
    }
  }
  return complete.map(([from, to]) => stateOf(records.slice(from + 1, to)));
}

function stateOf(records: readonly string[]): ShellState {
  const named = (kind: string, nameOf: (text: string) => string | undefined): Map<string, string> => {
    const found = new Map<string, string>();
    for (const record of records) {
      if (record[0] !== kind) continue;
      const text = record.slice(1).replace(/\n$/, '');
      const name = nameOf(text);
      if (name !== undefined) found.set(name, text);
    }
    return found;
  };
  const first = (kind: string): string => records.find((record) => record[0] === kind)?.slice(1) ?? '';
  return {
    cwd: first('d'),
    isCut: records.includes(CUT),
    variables: named('v', variableName),
    functions: named('f', (text) => /^(?:function )?([^\s()$`'"\\;&|<>]+) \(\)/.exec(text)?.[1]),
    attributes: named('x', (text) => /^declare -f[rtx]+ ([^\s()$`'"\\;&|<>]+)$/.exec(text)?.[1]),
    aliases: named('a', aliasName),
    options: optionsIn(first('o')),
  };
}

/** Bash 5.3 has 86; a command may have written any number. */
const MOST_OPTIONS = 256;

function optionsIn(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n', MOST_OPTIONS)) {
    const [, set, shopt, name] = /^(?:(set) [-+]o|(shopt) -[su]) ([\w-]+)$/.exec(line) ?? [];
    if (name !== undefined) found.set(`${set ?? shopt} ${name}`, line);
  }
  return found;
}

/** Returns the name in a text of `alias` if its value is only quoted text; else undefined. */
function aliasName(text: string): string | undefined {
  const [begun = '', name] = /^alias (?:-- )?([^\s='"$`\\;&|<>()/]+)='/.exec(text) ?? [];
  if (!text.endsWith("'") || text.length <= begun.length) return undefined;
  return text.slice(begun.length, -1).replaceAll("'\\''", '').includes("'") ? undefined : name;
}

const DECLARED = /^declare -([-A-Za-z]+) ([A-Za-z_]\w*)(=|$)/;

/** Returns the name in a text of `declare -p` if its value is only quoted text; else undefined. */
function variableName(text: string): string | undefined {
  const [begun = '', attributes = '', name = '', equals = ''] = DECLARED.exec(text) ?? [];
  if (begun === '') return undefined;
  if (equals === '') return name;
  const end = text[begun.length] === '(' ? endOfArray(text, begun.length, attributes) : endOfQuoted(text, begun.length);
  return end === text.length ? name : undefined;
}

/**
 * A key of an associative array that needs no quotes. The index of other arrays is an expression, which bash evaluates.
 */
const KEY = /\[([\w.@%+:,/^~-]+)\]=/y;
const INDEX = /\[(\d+)\]=/y;

/** Returns where an array ends that begins at `from`; undefined if it has anything but quoted text. */
function endOfArray(text: string, from: number, attributes: string): number | undefined {
  let at = from + 1;
  while (text[at] === '[') {
    const value = endOfKey(text, at, attributes.includes('A'));
    const end = value === undefined ? undefined : endOfQuoted(text, value);
    if (end === undefined) return undefined;
    at = text[end] === ' ' ? end + 1 : end;
  }
  return text[at] === ')' ? at + 1 : undefined;
}

function endOfKey(text: string, from: number, isAssociative: boolean): number | undefined {
  const pattern = isAssociative ? KEY : INDEX;
  pattern.lastIndex = from;
  if (pattern.test(text)) return pattern.lastIndex;
  const end = isAssociative ? endOfQuoted(text, from + 1) : undefined;
  return end !== undefined && text.startsWith(']=', end) ? end + 2 : undefined;
}

const [DOUBLE_QUOTE, DOLLAR, SINGLE_QUOTE, BACKSLASH, BACKTICK] = [34, 36, 39, 92, 96];

/** Returns where `"…"` or `$'…'` ends that begins at `from`; undefined if something is expanded in it. */
function endOfQuoted(text: string, from: number): number | undefined {
  const isAnsi = text.startsWith("$'", from);
  if (!isAnsi && text[from] !== '"') return undefined;
  for (let at = from + (isAnsi ? 2 : 1); at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === (isAnsi ? SINGLE_QUOTE : DOUBLE_QUOTE)) return at + 1;
    else if (!isAnsi && (code === DOLLAR || code === BACKTICK)) return undefined;
  }
  return undefined;
}

/** Variables of the shell itself, and those that belong to one command. */
const OF_SHELL =
  /^(?:_|BASH(?!_ENV$)\w*|S?RANDOM|SECONDS|EPOCH\w+|LINENO|FUNCNAME|GROUPS|DIRSTACK|PIPESTATUS|HISTCMD|OPT(?:IND|ERR|ARG)|E?UID|PPID|PWD|SHELLOPTS|SHLVL|COLUMNS|LINES|AGENT3_SESSION|__agent3\w*)$/;

/**
 * Returns what a shell had at its end and a fresh one has not, in the order of restoring. A variable that the call
 * itself set (`given`) and that was not changed stays what it was `before`.
 */
export function changesOf(
  fresh: ShellState,
  last: ShellState,
  before: readonly ContextItem[] = [],
  given: ReadonlySet<string> = new Set(),
): ContextItem[] {
  const variables: ContextItem[] = [];
  for (const [name, text] of last.variables)
    if (!OF_SHELL.test(name) && fresh.variables.get(name) !== text) variables.push({ kind: 'variable', name, text });
  for (const name of fresh.variables.keys())
    if (!OF_SHELL.test(name) && !given.has(name) && !last.variables.has(name))
      variables.push({ kind: 'variable', name, text: `unset -v ${name}` });
  const changed = new Set(variables.map(({ name }) => name));
  const kept = before.filter(({ kind, name }) => kind === 'variable' && given.has(name) && !changed.has(name));
  const others = (kind: ContextItem['kind'], ofLast: Named, ofFresh: Named): ContextItem[] =>
    [...ofLast]
      .filter(([name, text]) => !name.startsWith('__agent3') && name !== 'trap' && ofFresh.get(name) !== text)
      .map(([name, text]) => ({ kind, name, text }));
  const options = [...last.options]
    .filter(([key, text]) => fresh.options.get(key) !== text)
    .map(([, text]) => ({ kind: 'option', name: text.split(' ').at(-1) ?? '', text }) as const);
  const isOfSet = ({ text }: ContextItem): boolean => text.startsWith('set ');
  return [
    ...kept,
    ...variables,
    ...others('function', last.functions, fresh.functions),
    ...others('attribute', last.attributes, fresh.attributes),
    ...options.filter((one) => !isOfSet(one)),
    ...others('alias', last.aliases, fresh.aliases),
    // With these, what follows may be an error.
    ...options.filter(isOfSet),
  ];
}

type Named = ReadonlyMap<string, string>;
