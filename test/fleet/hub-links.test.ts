import { afterAll, describe, expect, test } from 'bun:test';
import type { Access } from '../../src/access/access.ts';
import { BUILT_IN } from '../../src/access/profile.ts';
import { Trail } from '../../src/audit/trail.ts';
import type { CallContext } from '../../src/calls/context.ts';
import type { Sink, Source } from '../../src/files/carrier.ts';
import type { LinkedDownload, LinkedUpload } from '../../src/files/linked.ts';
import { Transfers } from '../../src/files/transfers.ts';
import type { FleetDoor, FleetServer, Piece } from '../../src/fleet/door.ts';
import { HubLinks } from '../../src/fleet/hub-links.ts';
import { SigningKey, tagOf } from '../../src/fleet/keys.ts';
import { transferStep } from '../../src/fleet/member-links.ts';
import { PIECE_BYTES } from '../../src/fleet/pieces.ts';
import { OneShotEvent, systemClock } from '../../src/lib/clock.ts';
import { AccessLapsed, ServerRefusal } from '../../src/lib/errors.ts';
import { Turns } from '../../src/lib/shares.ts';

const { full } = BUILT_IN;
const over = new OneShotEvent();
afterAll(() => over.fire());

const { publicKey } = SigningKey.create();
const web1 = { name: 'web1', key: publicKey, tag: tagOf(publicKey) } as FleetServer;
const visit = { address: '192.0.2.1', id: crypto.randomUUID() };
const BYTES = crypto.getRandomValues(new Uint8Array(60_000));
/** Of two pieces and a bit. */
const FILE = Buffer.concat(Array(20).fill(BYTES));

/** A hub with links, and a server whose files are in memory. `lie` changes what the server says. */
function fleet(lie: (piece: Piece, step: string) => Piece = (piece) => piece) {
  const state = { servers: [web1], access: true, steps: [] as string[], written: [] as Buffer[] };
  const shared = { clock: systemClock, turns: new Turns(), shutdown: over, maxTransferBytes: 5_000_000 };
  const trail = new Trail(undefined, { values: [], isToken: () => false });
  const transfers = (): Transfers => {
    const made = new Transfers({ ...shared, trail, access: { profileFor: () => full } as unknown as Access });
    made.baseUrl = 'http://agent';
    return made;
  };
  const [own, there] = [transfers(), transfers()];
  const source: Source = {
    ...{ path: '/file', bytes: FILE.length, mode: 0o644, close: () => {} },
    read: async (offset, length) => FILE.subarray(offset, offset + length),
  };
  const sink: Sink = {
    ...{ path: '/file', commit: async () => {}, close: () => {}, sha256: async () => '' },
    write: async (bytes) => void state.written.push(Buffer.from(bytes)),
    restart: async () => void state.written.splice(0),
  };
  const door = {
    servers: () => state.servers,
    piece: async (_server: FleetServer, _op: string, args: { step: string }, call: CallContext, bytes?: Uint8Array) => {
      state.steps.push(args.step);
      const deps = { transfers: there, turns: shared.turns, freeze: { require: () => {} } as never };
      const visitor = { principal: `hub/${call.principal}`, address: call.address };
      const done = await transferStep(deps, args, bytes ?? new Uint8Array(0), visitor);
      return lie({ bytes: new Uint8Array(0), ...done }, args.step);
    },
  } as unknown as FleetDoor;
  const access = {
    profileFor: () => {
      if (state.access) return full;
      throw new AccessLapsed('token', 'it has ended', 'Use another one.');
    },
  };
  const links = new HubLinks({ ...shared, access, transfers: own, maxReplyChars: 100_000 }, door);
  const context = { principal: 'anna', profile: full } as CallContext;
  const request = { principal: 'hub/anna', profile: full, path: '/dir/file' };
  const named = ({ url }: { readonly url: string }): string => {
    const answer = links.adopt(web1, { server: 'web1', url }, context);
    expect(String(answer['url'])).toMatch(new RegExp(`^http://agent/transfer/[\\w-]{43}@${web1.tag}$`));
    return String(answer['url']).slice('http://agent/transfer/'.length);
  };
  return {
    ...{ state, links, own, there, context },
    download: async () => named(await there.download(request, () => source)),
    upload: async () => named(await there.upload(request, () => sink)),
  };
}

async function* bodyOf(...pieces: readonly Uint8Array[]) {
  yield* pieces;
}

async function openDownload(links: HubLinks, name: string): Promise<LinkedDownload> {
  return (await links.open(name, visit)) as LinkedDownload;
}

async function openUpload(links: HubLinks, name: string): Promise<LinkedUpload> {
  return (await links.open(name, visit)) as LinkedUpload;
}

describe('a link to a file of a server', () => {
  test('reads it in pieces, and is used up when the client has all of it', async () => {
    const { links, state, download } = fleet();
    const name = await download();
    const file = await openDownload(links, name);
    expect(file).toMatchObject({ kind: 'download', bytes: FILE.length, name: 'file' });
    const pieces = await Array.fromAsync(file.pieces(0, FILE.length));
    expect(Buffer.concat(pieces).equals(FILE)).toBe(true);
    expect(Math.max(...pieces.map(({ length }) => length))).toBe(PIECE_BYTES);
    expect((await links.open(name, visit)).kind).toBe('download');
    await file.took(0, FILE.length, '');
    expect(await links.open(name, visit)).toEqual({
      ...{ kind: 'used', bytes: FILE.length },
      sha256: Bun.SHA256.hash(FILE, 'hex') as unknown as string,
    });
    // The line to a server begins with 64 KiB, and doubles that; a busy machine looks like a slower line for a moment.
    const reads = state.steps.filter((step) => step === 'read').length;
    expect(reads).toBeGreaterThanOrEqual(5);
    expect(reads).toBeLessThan(FILE.length / 65_536);
  });

  test('writes it in pieces, one body at a time, and continues where a body broke', async () => {
    const { links, state, upload } = fleet();
    const name = await upload();
    const broken = async function* () {
      yield FILE.subarray(0, 700_000);
      const second = await openUpload(links, name);
      await expect(second.receive(0, bodyOf(FILE), async () => {})).rejects.toThrow('Another PUT to this link');
      throw new Error('the client has gone');
    };
    await expect((await openUpload(links, name)).receive(0, broken(), async () => {})).rejects.toThrow('has gone');
    const file = await openUpload(links, name);
    expect(file.received).toBe(700_000);
    await expect(file.receive(5, bodyOf(FILE), async () => {})).rejects.toThrow('700000 bytes have arrived');
    const done = await file.receive(700_000, bodyOf(FILE.subarray(700_000)), () => file.commit(''));
    expect(done).toMatchObject({ server: 'web1', path: '/dir/file', bytes: FILE.length });
    expect(Buffer.concat(state.written).equals(FILE)).toBe(true);
  });

  test('of no bytes, or that begins again, leaves nothing of a body before', async () => {
    const { links, state, upload } = fleet();
    const name = await upload();
    const first = await openUpload(links, name);
    await first.receive(0, bodyOf(FILE), async () => {});
    const file = await openUpload(links, name);
    expect(await file.receive(0, bodyOf(), () => file.commit(''))).toMatchObject({ bytes: 0 });
    expect(state.written.every(({ length }) => length === 0)).toBe(true);
  });

  test('is found with its own tag alone, and through the hub alone', async () => {
    const { links, there, download } = fleet();
    const name = await download();
    const [secret = ''] = name.split('@');
    for (const wrong of [secret, `${secret}@aaaaaaaa`, `${'a'.repeat(43)}@${web1.tag}`])
      await expect(links.open(wrong, visit)).rejects.toThrow('no such link');
    expect(() => there.open(secret)).toThrow('no such link');
    expect(() => there.open(secret, 'hub/bert')).toThrow('no such link');
    expect((await links.open(name.toUpperCase().replace(secret.toUpperCase(), secret), visit)).kind).toBe('download');
  });

  test('ends with its token, and with its server', async () => {
    for (const end of [{ access: false }, { servers: [] }]) {
      const { links, state, download } = fleet();
      const name = await download();
      const file = await openDownload(links, name);
      const pieces = file.pieces(0, FILE.length);
      await pieces.next();
      Object.assign(state, end);
      await expect(links.open(name, visit)).rejects.toThrow('no such link');
      await Bun.sleep(1100);
      expect((await pieces.next()).done).toBe(true);
    }
  });
});

test('used links take no room from the next ones, and show their results', async () => {
  const { links, download, upload } = fleet();
  const first = await openDownload(links, await download());
  await Array.fromAsync(first.pieces(0, FILE.length));
  await first.took(0, FILE.length, '');
  let name = '';
  for (let made = 0; made < 800; made++) {
    links.requireRoom('anna');
    name = await upload();
    await (await openUpload(links, name)).commit('');
  }
  expect(await links.open(name, visit)).toMatchObject({ kind: 'used', bytes: 0 });
});

test('a hub that was taken over does not use a link up by the word that bytes have passed', async () => {
  const { links, there, download } = fleet();
  const name = await download();
  const [secret = ''] = name.split('@');
  const file = await openDownload(links, name);
  await file.pieces(0, FILE.length).next();
  for (const to of [FILE.length, Number.MAX_SAFE_INTEGER])
    await expect(file.took(0, to, '')).rejects.toThrow('not read');
  expect(there.open(secret, 'hub/anna').kind).toBe('download');
});

describe('a server that was taken over', () => {
  test.each(['javascript:alert(1)', 'https://evil/transfer/short', '/transfer/', 7])('makes no link of %p', (url) => {
    const { links, context } = fleet();
    expect(() => links.adopt(web1, { server: 'web1', url }, context)).toThrow('is no link');
  });

  test('sends neither more than was asked for, nor another kind of link', async () => {
    const long = fleet((piece, step) =>
      step === 'read' ? { ...piece, bytes: new Uint8Array(2 * FILE.length) } : piece,
    );
    const file = await openDownload(long.links, await long.download());
    expect(await Array.fromAsync(file.pieces(0, FILE.length))).toEqual([]);
    const odd = fleet((piece, step) => (step === 'open' ? { ...piece, body: { kind: 'other' } } : piece));
    await expect(odd.links.open(await odd.download(), visit)).rejects.toThrow('unknown format');
    const wrong = fleet((piece, step) => (step === 'write' ? { ...piece, body: { received: 1 } } : piece));
    const target = await openUpload(wrong.links, await wrong.upload());
    await expect(target.receive(0, bodyOf(FILE), async () => {})).rejects.toThrow('unknown format');
  });

  test('refuses in its own name', async () => {
    const refusing = fleet((_, step) => {
      throw new ServerRefusal(404, 'Not found', `web1: ${step}`, {});
    });
    await expect(refusing.links.open(await refusing.download(), visit)).rejects.toThrow('web1: open');
  });
});
