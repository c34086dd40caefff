import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { newOrder } from '../../src/console/order.ts';
import { OrderDirectory } from '../../src/console/order-files.ts';
import { PostBox } from '../../src/console/post-box.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

/** Calls `work` with a post box on a disk that a command has filled. */
function onFullDisk(work: (box: PostBox, console: string) => void): void {
  using place = new TemporaryDirectory();
  const console = place.join('console');
  mkdirSync(console);
  expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=256k,mode=750', 'tmpfs', console]).exitCode).toBe(0);
  try {
    for (const name of ['orders', 'root-orders', 'links']) mkdirSync(`${console}/${name}`, { mode: 0o2750 });
    const box = new PostBox(console, place.join('answers'));
    expect(() => writeFileSync(`${console}/full`, Buffer.alloc(1_048_576))).toThrow('ENOSPC');
    work(box, console);
  } finally {
    Bun.spawnSync(['umount', console]);
  }
}

const isRoot = process.geteuid?.() === 0;

test.skipIf(!isRoot)('an order is left on a disk that a command has filled', () => {
  onFullDisk((box, console) => {
    const freeze = { ...newOrder(), kind: 'freeze', reason: 'the disk is full' } as const;
    const stop = { ...newOrder(), kind: 'stop-all' } as const;
    for (const order of [freeze, stop]) box.leaveOrder({ order, by: 'Anna' });
    for (const [name, order] of [
      ['root-orders', freeze],
      ['orders', stop],
    ] as const) {
      using directory = OrderDirectory.open({ console, name, stranger: undefined });
      expect(directory?.names.map(String)).toEqual([`${order.id}.json`]);
      expect(directory?.read(order.id)).toEqual({ order, by: 'Anna' });
      box.removeOrder(order);
    }
    for (let count = 0; count < 20; count++) {
      const order = { ...newOrder(), kind: 'stop-all' } as const;
      box.leaveOrder({ order, by: 'Anna' });
      box.removeOrder(order);
    }
    expect(readdirSync(`${console}/orders`)).toEqual([]);
  });
});

test.skipIf(!isRoot)('approvals that are left at once on a full disk keep no freeze away', () => {
  onFullDisk((box, console) => {
    const approve = { kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64) } as const;
    const leave = (): void => box.leaveOrder({ order: { ...newOrder(), ...approve }, by: 'Anna' });
    leave();
    expect(() => Array.from({ length: 30 }, leave)).toThrow('ENOSPC');
    const freeze = { ...newOrder(), kind: 'freeze', reason: '' } as const;
    box.leaveOrder({ order: freeze, by: 'Anna' });
    expect(readdirSync(`${console}/root-orders`)).toEqual([`${freeze.id}.json`]);
  });
});

test('what root has moved out of its orders is removed at the next start', () => {
  using place = new TemporaryDirectory();
  for (const name of ['root-orders/stray/deep', 'links', 'orders']) mkdirSync(place.join(name), { recursive: true });
  {
    using directory = OrderDirectory.open({ console: place.path, name: 'root-orders', stranger: undefined });
    expect(directory?.remove('stray')).toBe(true);
  }
  const removed = () => readdirSync(place.path).filter((name) => name.startsWith('removed-'));
  expect(removed()).toBeArrayOfSize(1);
  new PostBox(place.path, place.join('answers'));
  expect(removed()).toEqual([]);
});
