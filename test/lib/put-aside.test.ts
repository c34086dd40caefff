import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { putAside } from '../../src/lib/files.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

/** Each row: what is there before, and after, as `name=content`. */
const rows: readonly (readonly [what: string, before: readonly string[], after: readonly string[]])[] = [
  ['the first file', ['log=new'], ['log.1=new']],
  ['older ones move on', ['log=c', 'log.1=b', 'log.2=a'], ['log.1=c', 'log.2=b', 'log.3=a']],
  [
    'beyond what is kept the oldest goes',
    ['log=d', 'log.1=c', 'log.2=b', 'log.3=a'],
    ['log.1=d', 'log.2=c', 'log.3=b'],
  ],
  ['compressed ones too', ['log=c', 'log.1=b', 'log.2.gz=a'], ['log.1=c', 'log.2=b', 'log.3.gz=a']],
  ['where logrotate kept more', ['log=b', 'log.1=a', 'log.9=x', 'log.12=y'], ['log.1=b', 'log.2=a']],
  ['where a number is missing', ['log=c', 'log.2=a'], ['log.1=c', 'log.2=a']],
  [
    'where a number is missing, and the last that is kept is there',
    ['log=d', 'log.1=c', 'log.3=a'],
    ['log.1=d', 'log.2=c', 'log.3=a'],
  ],
  ['after a move that was cut short', ['log=c', 'log.0=b', 'log.1=a'], ['log.1=c', 'log.2=b', 'log.3=a']],
  [
    'after one that was cut short between two files',
    ['log=c', 'log.0=b', 'log.2=a'],
    ['log.1=c', 'log.2=b', 'log.3=a'],
  ],
  [
    'what has another name stays',
    ['log=a', 'log.head=h', 'log.1.bak=b', 'logs.1=l', 'log.1x=x'],
    ['log.1=a', 'log.1.bak=b', 'log.1x=x', 'log.head=h', 'logs.1=l'],
  ],
];

test.each(rows)('a file is put aside: %s', (_, before, after) => {
  using directory = new TemporaryDirectory();
  for (const file of before) {
    const [name = '', content = ''] = file.split('=');
    writeFileSync(directory.join(name), content);
  }
  putAside(directory.join('log'), 3);
  const found = readdirSync(directory.path).map((name) => `${name}=${readFileSync(directory.join(name), 'utf8')}`);
  expect(found.sort()).toEqual([...after].sort());
});

test('a file that cannot be moved moves no other', () => {
  using directory = new TemporaryDirectory();
  for (const name of ['log.1', 'log.2']) writeFileSync(directory.join(name), name);
  expect(() => putAside(directory.join('log'), 3)).toThrow('ENOENT');
  mkdirSync(directory.join('empty'));
  expect(readdirSync(directory.path).sort()).toEqual(['empty', 'log.1', 'log.2']);
});
