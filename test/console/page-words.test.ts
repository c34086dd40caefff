import { describe, expect, test } from 'bun:test';
import { LANGUAGES, type Language } from '../../src/console/page/language.ts';
import { WORDS } from '../../src/console/page/words.ts';

/** Every text by its place, of functions what they say of one and of several. */
function textsOf(value: unknown, place = ''): [string, string][] {
  if (typeof value === 'string') return [[place, value]];
  if (typeof value === 'function')
    return [1, 2000].map((count) => [`${place} ${count}`, sayOf(value as Parameters<typeof sayOf>[0], count)]);
  return Object.entries(value as object).flatMap(([name, one]) => textsOf(one, `${place}.${name}`));
}

/** With a number where one fits, and else with a word. */
function sayOf(text: (...values: unknown[]) => string, count: number): string {
  const fill = (value: unknown): string => text(...Array(text.length).fill(value));
  try {
    return fill(count);
  } catch {
    return fill('Xyz');
  }
}

/** The same in every language: names, units, and what is typed in a terminal. */
const SAME =
  /^(?:Agent3|sudo agent3 .*|Token|stderr|CPU|terminal|No|Doctor|.*\d+ (?:s|min|ms|×)|\d+ h \d+ min|\(?\d+\)? Agent3.*|\d+ \d+)$/;

describe.each((Object.keys(LANGUAGES) as Language[]).filter((one) => one !== 'en'))('the texts in %s', (language) => {
  const english = new Map(textsOf(WORDS.en));
  const other = new Map(textsOf(WORDS[language]));

  test('are as many as in English, and none more', () => {
    expect([...other.keys()].sort()).toEqual([...english.keys()].sort());
  });

  test('are translated', () => {
    const same = [...other].filter(([place, text]) => english.get(place) === text && !SAME.test(text));
    expect(same).toEqual([]);
  });

  test('are whole, and end as the English ones do', () => {
    const isOdd = ([place, text]: [string, string]): boolean =>
      /undefined|\[object| {2}|^\s|\s$/.test(text) || /[.:]$/.test(text) !== /[.:]$/.test(english.get(place) ?? '');
    expect([...other].filter(isOdd)).toEqual([]);
  });
});
