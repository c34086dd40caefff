/** `text` as a regular expression that matches nothing else. */
export function escaped(text: string): string {
  return text.replace(/[$^.*+?()[\]{}|/\\-]/g, '\\$&');
}

/** The prefixes as one expression, which looks at each character of a text once: `g(?:h(?:p_|o_)|lpat-)`. */
export function trie(words: readonly string[]): string {
  const byFirst = new Map<string, string[]>();
  for (const word of words) {
    const first = word.slice(0, 1);
    byFirst.set(first, [...(byFirst.get(first) ?? []), word.slice(1)]);
  }
  const parts = [...byFirst].map(([first, rests]) =>
    rests.length === 1
      ? escaped(first + rests[0])
      : `${escaped(first)}${trie(rests.filter((rest) => rest !== ''))}${rests.includes('') ? '?' : ''}`,
  );
  return parts.length === 1 ? `(?:${parts[0]})` : `(?:${parts.join('|')})`;
}

/** Finds which of some words are in a text, small letters or not, by looking at each of its characters once. */
export class WordFinder {
  readonly #shape: RegExp;
  /** What else is there where a word is: those that it begins with. */
  readonly #known: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[]) {
    const all = [...new Set(words)];
    this.#shape = new RegExp(trie(all), 'g');
    this.#known = new Map(all.map((word) => [word, all.filter((other) => word.startsWith(other))]));
  }

  /** The words in `text`, each of which has to be in small letters. */
  wordsIn(text: string): ReadonlySet<string> {
    const found = new Set<string>();
    const low = text.toLowerCase();
    const shape = this.#shape;
    shape.lastIndex = 0;
    for (let match = shape.exec(low); match !== null; match = shape.exec(low)) {
      for (const word of this.#known.get(match[0]) ?? []) found.add(word);
      shape.lastIndex = match.index + 1;
    }
    return found;
  }
}
