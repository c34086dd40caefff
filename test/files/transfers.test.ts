import { expect, test } from 'bun:test';
import type { Access } from '../../src/access/access.ts';
import { BUILT_IN } from '../../src/access/profile.ts';
import { Trail } from '../../src/audit/trail.ts';
import type { Sink, Source } from '../../src/files/carrier.ts';
import { Transfers } from '../../src/files/transfers.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { Turns } from '../../src/lib/shares.ts';

const { full } = BUILT_IN;

/** Links on a clock of the test's own; `closed` counts the files that were closed. */
function links() {
  const state = { seconds: 0, closed: 0, profile: full };
  const access = { profileFor: () => state.profile } as unknown as Access;
  const transfers = new Transfers({
    access,
    clock: { now: () => 0, elapsed: () => state.seconds * 1000 },
    trail: new Trail(undefined, { values: [], isToken: () => false }),
    turns: new Turns(),
    shutdown: new OneShotEvent(),
    maxTransferBytes: 100,
  });
  transfers.baseUrl = 'http://agent';
  const close = (): void => void state.closed++;
  const source: Source = { path: '/x', bytes: 3, mode: 0o644, read: async () => Buffer.from('abc'), close };
  const written: string[] = [];
  const nothing = async (): Promise<void> => {};
  const sink: Sink = {
    ...{ path: '/x', restart: nothing, commit: nothing, close, sha256: async () => '' },
    write: async (bytes) => void written.push(Buffer.from(bytes).toString()),
  };
  const request = { principal: 'anna', profile: full, path: '/x' };
  return {
    ...{ state, transfers, written },
    download: () => transfers.download(request, () => source),
    upload: () => transfers.upload(request, () => sink),
  };
}

const secretOf = (url: string): string => url.split('/').at(-1) ?? '';

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text);
}

test('a link ends after ten minutes', async () => {
  const { state, transfers, download } = links();
  const { url, transfer } = await download();
  state.seconds = 600;
  expect(transfers.find(secretOf(url))).toBe(transfer);
  state.seconds = 601;
  expect(() => transfers.find(secretOf(url))).toThrow('no such link');
});

test('a transfer that was interrupted may continue for a minute more', async () => {
  const { state, transfers, upload } = links();
  const { url, transfer } = await upload();
  state.seconds = 595;
  await transfer.receive(0, pieces('abc'), async () => {});
  state.seconds = 655;
  expect(transfers.find(secretOf(url))).toBe(transfer);
  state.seconds = 656;
  expect(() => transfers.find(secretOf(url))).toThrow('no such link');
});

test('bytes that have passed before keep no link', async () => {
  const { state, transfers, download, upload } = links();
  const [down, up] = [await download(), await upload()];
  const read = async (from: number, to: number): Promise<void> => {
    for await (const _ of down.transfer.pieces(from, to));
  };
  const isOpen = (): boolean[] =>
    [down, up].map(({ url }) => {
      try {
        return transfers.find(secretOf(url)) !== undefined;
      } catch {
        return false;
      }
    });
  state.seconds = 595;
  await read(1, 2);
  await up.transfer.receive(0, pieces('abc'), async () => {});
  state.seconds = 650;
  await read(1, 2);
  await up.transfer.receive(0, pieces('abc'), async () => {});
  state.seconds = 655;
  expect(isOpen()).toEqual([true, true]);
  // Those that have not keep it for a minute more.
  await read(0, 2);
  await up.transfer.receive(3, pieces('d'), async () => {});
  state.seconds = 715;
  expect(isOpen()).toEqual([true, true]);
  await read(0, 2);
  await up.transfer.receive(0, pieces('abcd'), async () => {});
  state.seconds = 716;
  expect(isOpen()).toEqual([false, false]);
});

test('no link is open for more than a day, whatever is under way', async () => {
  const { state, transfers, download } = links();
  const { url, transfer } = await download();
  const reading = transfer.pieces(0, 3);
  await reading.next();
  state.seconds = 86_400;
  expect(transfers.find(secretOf(url))).toBe(transfer);
  state.seconds = 86_401;
  expect(() => transfers.find(secretOf(url))).toThrow('no such link');
  await reading.return();
});

test('a transfer that is under way keeps its link, and its file open', async () => {
  const { state, transfers, upload, written } = links();
  const { url, transfer } = await upload();
  const more = Promise.withResolvers<void>();
  const receiving = transfer.receive(
    0,
    (async function* () {
      yield Buffer.from('abc');
      await more.promise;
      yield Buffer.from('def');
    })(),
    () => transfer.commit('::1'),
  );
  state.seconds = 10_000;
  expect(transfers.find(secretOf(url))).toBe(transfer);
  expect(state.closed).toBe(0);
  more.resolve();
  expect(await receiving).toMatchObject({ bytes: 6, sha256: Bun.SHA256.hash('abcdef', 'hex') });
  expect([written.join(''), state.closed]).toEqual(['abcdef', 1]);
});

test('a link ends with its profile', async () => {
  const { state, transfers, download } = links();
  const { url } = await download();
  state.profile = BUILT_IN.readonly;
  expect(() => transfers.find(secretOf(url))).toThrow('no such link');
});

test('a link that has ended is room for another', async () => {
  const { transfers, download, state } = links();
  const made = await Promise.all(Array.from({ length: 48 }, download));
  await expect(download()).rejects.toThrow('48 links of this token are open');
  const [first] = made;
  first?.transfer.took(0, 3, '::1');
  expect(state.closed).toBe(1);
  expect(transfers.resultOf(secretOf(first?.url ?? ''))).toMatchObject({ bytes: 3 });
  await download();
});

test('parts that overlap, in any order, use a link up when they are all of it', async () => {
  const { transfers, download } = links();
  const { url, transfer } = await download();
  transfer.took(2, 3, '::1');
  transfer.took(0, 1, '::1');
  transfer.took(0, 1, '::1');
  expect(transfers.find(secretOf(url))).toBe(transfer);
  transfer.took(1, 3, '::1');
  expect(() => transfers.find(secretOf(url))).toThrow('no such link');
});

test('a body that is too large leaves nothing, and the link', async () => {
  const { transfers, upload } = links();
  const { url, transfer } = await upload();
  await expect(transfer.receive(0, pieces('x'.repeat(101)), async () => {})).rejects.toThrow('may have 100 bytes');
  expect([transfers.find(secretOf(url)), transfer.received]).toEqual([transfer, 0]);
});
