import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { type KeysOrder, listDigest, newOrder, type OrderFile, type OrderResult } from '../../../src/console/order.ts';
import { type KeyChain, keyChainPath, type NumberedList } from '../../../src/fleet/key-chain.ts';
import { startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TestNats } from '../../helpers/nats.ts';
import { RawServer } from '../../helpers/raw-server.ts';
import { eventually } from '../../helpers/waiting.ts';

describe.skipIf(process.geteuid?.() !== 0)("the passkeys of the hub's console, as servers know them", () => {
  const files = new ConsoleFiles();
  const { phone } = files;
  const tablet = new Authenticator();
  let nats: TestNats;

  beforeAll(async () => {
    nats = await TestNats.start('web1');
  });
  afterAll(async () => {
    await nats?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  const env = () => ({ ...files.settings, ...nats.hubSettings });
  const passkeys = () => agent3(['fleet', 'passkeys', '--dir', nats.directory], env());
  const chain = () => JSON.parse(readFileSync(keyChainPath(nats.directory), 'utf8')) as KeyChain;

  /** The next link after a list, as the page makes it. */
  async function linkAfter(known: NumberedList, phones: Authenticator[], changes: Partial<KeysOrder> = {}) {
    const { origin, rp_id } = known;
    const list = { origin, rp_id, passkeys: await Promise.all(phones.map((one) => one.passkey())) };
    const count = known.count + 1;
    const previous = await listDigest(known);
    return { ...newOrder(), kind: 'keys', hub: nats.hub.publicKey, count, previous, ...list, ...changes } as const;
  }

  /** What root of the hub says to a link that one of the phones has signed. */
  async function obeyed(link: KeysOrder, by?: Authenticator): Promise<OrderResult> {
    const id = by === undefined ? files.leave(link) : await files.leaveSigned(link, by);
    expect(await agent3(['console', 'obey'], env())).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(readFileSync(`${files.answers}/order-${id}.json`, 'utf8')) as OrderResult;
  }

  const refused = (why: string) => ({ state: 'refused', why: expect.stringContaining(why) });
  let first: NumberedList;

  test('begin with what the console has, once it has any', async () => {
    expect(await passkeys()).toMatchObject({ code: 1, stderr: expect.stringContaining('agent3 console link') });
    expect(existsSync(keyChainPath(nats.directory))).toBe(false);
    await files.pin();
    // Those of a URL that the console had before are good no more.
    const elsewhere = { ...env(), AGENT3_CONSOLE_ORIGIN: 'https://other.example.org:8443' };
    const moved = await agent3(['fleet', 'passkeys', '--dir', nats.directory], elsewhere);
    expect(moved).toMatchObject({ code: 1, stderr: expect.stringContaining('agent3 console link') });
    expect(existsSync(keyChainPath(nats.directory))).toBe(false);
    const { stdout, stderr } = await passkeys();
    expect(stderr).toBe('');
    first = JSON.parse(stdout) as NumberedList;
    expect(first).toMatchObject({ count: 0, origin: phone.origin, passkeys: [await phone.passkey()] });
    expect(chain()).toEqual({ version: 1, first: { ...first, passkeys: [...first.passkeys] }, links: [] });
  });

  test('change by what a passkey that servers know has signed, in order, and as root has pinned it', async () => {
    await files.pin(tablet);
    expect((await passkeys()).stderr).toContain('accept these passkeys until they know the change: Pixel 9.');
    const link = await linkAfter(first, [phone, tablet]);
    expect(await obeyed(link)).toMatchObject(refused('needs the signature'));
    expect(await obeyed({ ...link, id: crypto.randomUUID() }, tablet)).toMatchObject(
      refused('do not know the passkey'),
    );
    expect(await obeyed(await linkAfter(first, [phone]), phone)).toMatchObject(refused('not those of the console'));
    const skips = await linkAfter(first, [phone, tablet], { count: 2 });
    expect(await obeyed(skips, phone)).toMatchObject(refused('does not follow on change number 0'));
    const forks = await linkAfter(first, [phone, tablet], { previous: 'a'.repeat(64) });
    expect(await obeyed(forks, phone)).toMatchObject(refused('does not follow'));
    const other = await linkAfter(first, [phone, tablet], { hub: nats.keyOf('web1').publicKey });
    expect(await obeyed(other, phone)).toMatchObject(refused('of another hub'));
    expect(chain().links).toEqual([]);
    expect(await obeyed(await linkAfter(first, [phone, tablet]), phone)).toMatchObject({ state: 'done' });
    expect(chain().links).toMatchObject([{ order: { count: 1 }, assertion: { type: 'public-key' } }]);
    expect((await passkeys()).stderr).toBe('');
  });

  test('are brought to a server that was away for two changes, one after the other', async () => {
    // The phone is removed: the tablet signs it.
    const list: NumberedList = { ...first, count: 1, passkeys: [await phone.passkey(), await tablet.passkey()] };
    await files.pinOnly(tablet);
    expect(await obeyed(await linkAfter(list, [tablet]), tablet)).toMatchObject({ state: 'done' });
    const taken: number[] = [];
    await using server = await RawServer.open(nats, 'web1', ({ op, args }) => {
      if (op !== 'order') return undefined;
      taken.push(((args as OrderFile).order as KeysOrder).count);
      return { state: 'done' };
    });
    server.shown = { keys: 0, frozen: true };
    const listed = () => agent3(['fleet', 'list', '--dir', nats.directory], env());
    expect((await listed()).stdout).toMatch(/^web1 +connected .* frozen {2}passkeys behind\n$/);
    await using _hub = await startAgent(nats.hubSettings);
    await eventually('the server has both', () => taken.length > 1);
    server.shown = { keys: 2 };
    server.say();
    expect((await listed()).stdout).toMatch(/^web1 +connected +full +role=web\n$/);
    expect(taken).toEqual([1, 2]);
  });

  test('do not change by a passkey that was removed', async () => {
    const list: NumberedList = { ...first, count: 2, passkeys: [await tablet.passkey()] };
    await files.pinOnly(tablet, phone);
    expect(await obeyed(await linkAfter(list, [tablet, phone]), phone)).toMatchObject(
      refused('do not know the passkey'),
    );
  });

  test('begin again where none of them is left', async () => {
    const { stdout: note } = await agent3(['console', 'remove', (await tablet.passkey()).fingerprint], env());
    expect(note).toContain('no passkey that the servers of the fleet know is left');
    await files.pinOnly(phone);
    const { stdout, stderr } = await passkeys();
    expect([stderr, JSON.parse(stdout)]).toMatchObject(['', { count: 3, passkeys: [await phone.passkey()] }]);
    expect(chain()).toMatchObject({ first: { count: 3 }, links: [] });
  });
});
