import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { newOrder } from '../../src/console/order.ts';
import { OrderDirectory } from '../../src/console/order-files.ts';
import { readNames } from '../../src/linux/entries.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

let place: TemporaryDirectory;
let orders: string;
const open = () => OrderDirectory.open({ console: place.join('console'), name: 'orders', stranger: undefined });

beforeEach(() => {
  place = new TemporaryDirectory();
  orders = place.join('console/orders');
  mkdirSync(orders, { recursive: true, mode: 0o750 });
});
afterEach(() => place[Symbol.dispose]());

test('everything in a directory of orders can be removed: names that are no text, full directories, links', () => {
  const victim = place.join('victim');
  mkdirSync(victim);
  writeFileSync(`${victim}/kept`, '');
  const noText = Buffer.concat([Buffer.from(`${orders}/`), Buffer.from([0xff, 0x61, 0xfe])]);
  writeFileSync(noText, '');
  mkdirSync(`${orders}/full/deep`, { recursive: true });
  symlinkSync(victim, `${orders}/full/link`);
  symlinkSync(victim, `${orders}/link`);
  {
    using directory = open();
    expect(directory?.strays()).toBeArrayOfSize(3);
    for (const name of directory?.strays() ?? []) expect(directory?.remove(name)).toBe(true);
  }
  expect(readdirSync(orders)).toEqual([]);
  expect(existsSync(`${victim}/kept`)).toBe(true);
  const [moved = ''] = readdirSync(place.join('console')).filter((name) => name !== 'orders');
  expect(readdirSync(place.join(`console/${moved}`)).sort()).toEqual(['deep', 'link']);
});

test('a directory that had many long names is used again when it is empty', () => {
  // More than 1 MiB of an ext4 directory, which does not shrink.
  const names = Array.from({ length: 4600 }, (_, at) => `${orders}/${String(at).padStart(220, 'x')}`);
  const file = place.join('file');
  writeFileSync(file, '');
  for (const name of names) linkSync(file, name);
  {
    using full = open();
    expect(full?.names).toBeArrayOfSize(names.length);
  }
  for (const name of names) unlinkSync(name);
  const { id } = newOrder();
  writeFileSync(`${orders}/${id}.json`, '');
  using directory = open();
  expect(directory?.ids()).toEqual([id]);
});

test('of a directory with too many names, the rest is not read', () => {
  for (const name of 'abc') writeFileSync(`${orders}/${name}`, '');
  const read = (most: number) => {
    const fd = openSync(orders, 'r');
    try {
      return readNames(fd, most).map(String).sort();
    } finally {
      closeSync(fd);
    }
  };
  expect(read(3)).toEqual(['a', 'b', 'c']);
  expect(read(1)).toBeArrayOfSize(2);
});
