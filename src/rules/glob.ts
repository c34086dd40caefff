/** A pattern of a rule: `*` stands for any characters, `?` for one. */
export interface Glob {
  readonly text: string;
  /** It begins as an absolute path does. */
  readonly isAbsolute: boolean;
  test(text: string): boolean;
  /** Whether it may fit a text of which only beginning and end are known. */
  mayFit(beginning: string, end: string): boolean;
  /** The pattern from one of its characters on. */
  since(at: number): Glob;
}

/** Reads a pattern. Its test takes time with the length of the text: no way is tried twice. */
export function globOf(text: string): Glob {
  const pattern = [...text.replace(/\*+/g, '*')];
  const head = text.slice(0, /[*?]|$/.exec(text)?.index);
  const tail = /[^*?]*$/.exec(text)?.[0] ?? '';
  return {
    text,
    isAbsolute: text.startsWith('/'),
    test: (given) => fits(pattern, [...given]),
    mayFit: (beginning, end) =>
      (head.startsWith(beginning) || beginning.startsWith(head)) && (tail.endsWith(end) || end.endsWith(tail)),
    since: (at) => globOf(text.slice(at)),
  };
}

/** Goes back to the last star alone: what the stars before it took need never change. */
function fits(pattern: readonly string[], text: readonly string[]): boolean {
  let at = 0;
  let star = -1;
  let taken = 0;
  for (let index = 0; index < text.length; ) {
    if (pattern[at] === '*') {
      star = at++;
      taken = index;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[index])) {
      at++;
      index++;
    } else if (star === -1) return false;
    else {
      at = star + 1;
      index = ++taken;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
