import { expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Link } from '../../src/console/link.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

/** A link of root's terminal, and a way to lay an answer there as a console does. */
function open(place: TemporaryDirectory) {
  const directory = place.join('console');
  mkdirSync(`${directory}/links`, { recursive: true });
  const wrong: number[] = [];
  const link = new Link({ directory, answers: place.join('answers') }, 'http://localhost:8443', (count) =>
    wrong.push(count),
  );
  const [, id = ''] = /#link=([^.]+)\./.exec(link.url) ?? [];
  return { link, id, wrong, answer: (text: string) => writeFileSync(`${directory}/links/${id}.json`, text) };
}

test('what a console lays there as the answer to a link is a wrong one, and ends no terminal', async () => {
  using place = new TemporaryDirectory();
  const { link, id, wrong, answer } = open(place);
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
  const registration = `{"response":{"clientDataJSON":""},"deep":${deep}}`;
  const nested = `{"link":"${id}","name":"x","mac":"${'a'.repeat(43)}","registration":${registration}}`;
  for (const text of ['[', 'null', nested, ' '.repeat(70_000)]) {
    answer(text);
    expect(await link.look()).toBeUndefined();
  }
  expect(wrong).toEqual([1, 2, 3, 4]);
  link.end();
});
