import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PushEvent, type PushMessage, readMessage } from '../../../src/console/push/message.ts';
import { Pushes } from '../../../src/console/push/pushes.ts';
import { idOfEndpoint } from '../../../src/console/push/subscription.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { Sender } from '../../../src/lib/internet.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { claimsOf, PushBrowser } from '../../helpers/push-browser.ts';
import { eventually } from '../../helpers/waiting.ts';

const SESSION = '0197aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';
const PUBLIC = '11.0.0.1';

interface Taken {
  readonly url: string;
  readonly address: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** A push service: what it took, and what it answers. */
class Service implements Sender {
  readonly taken: Taken[] = [];
  addresses: readonly string[] = [PUBLIC];
  answer: (address: string) => Response | Promise<Response> = () => new Response('', { status: 201 });

  async resolve(): Promise<readonly string[]> {
    return this.addresses;
  }

  async post(...[url, address, , sent]: Parameters<Sender['post']>): Promise<Response> {
    this.taken.push({ url: url.href, address, ...sent });
    return await this.answer(address);
  }
}

let files: ConsoleFiles;
let service: Service;
let pushes: Pushes;
let warnings: string[];

beforeEach(async () => {
  files = new ConsoleFiles(process.geteuid?.() ?? 0);
  await files.pin();
  service = new Service();
  warnings = [];
  const logger = { warn: (details: object, text: string) => warnings.push(`${text} ${JSON.stringify(details)}`) };
  pushes = new Pushes({
    directory: files.directory,
    passkeysFile: files.passkeysFile,
    isService: false,
    secret: 's'.repeat(40),
    contact: 'https://a.example',
    network: service,
    clock: systemClock,
    logger: logger as never,
  });
});
afterEach(() => files[Symbol.dispose]());

/** Switches notifications on in a browser. */
async function subscribe(name: string, events: readonly PushEvent[] = ['waits']): Promise<PushBrowser> {
  const browser = new PushBrowser(`https://fcm.googleapis.com/fcm/send/${name}`);
  const { id: of } = await files.phone.passkey();
  const path = join(files.directory, 'subscriptions', `${idOfEndpoint(browser.endpoint)}.json`);
  const { endpoint, keys } = browser;
  writeFileSync(path, JSON.stringify({ endpoint, ...keys, events, of, made_at: 1 }), { mode: 0o640 });
  chownSync(path, files.owner, files.group);
  return browser;
}

const took = (count: number) => eventually(`${count} pushes`, () => service.taken.length >= count);
const messageIn = (browser: PushBrowser, taken: Taken | undefined): PushMessage | undefined =>
  readMessage(browser.open(taken?.body ?? new Uint8Array()));

describe('a push', () => {
  test('has an event and an id, sealed and signed, to the address that was looked at', async () => {
    const browser = await subscribe('phone');
    pushes.tell('approval.asked', { session: SESSION, cmd: 'rm -rf /srv/secret' });
    await took(1);
    const [taken] = service.taken;
    expect(messageIn(browser, taken)).toEqual({ kind: 'waits', id: SESSION });
    expect(taken).toMatchObject({
      url: browser.endpoint,
      address: PUBLIC,
      headers: { ttl: '600', urgency: 'high', topic: 'waits', 'content-encoding': 'aes128gcm' },
    });
    const { aud, sub } = claimsOf(taken?.headers['authorization'] ?? '', await pushes.publicKey());
    expect([aud, sub]).toEqual(['https://fcm.googleapis.com', 'https://a.example']);
  });

  test('goes to those alone who want it', async () => {
    await subscribe('phone', ['waits']);
    const other = await subscribe('tablet', ['freeze', 'reuse']);
    pushes.tell('server.frozen', {});
    pushes.tell('grant.ended', {});
    pushes.tell('approval.denied', { session: SESSION });
    await took(2);
    expect(service.taken.map(({ url }) => url)).toEqual([other.endpoint, other.endpoint]);
    expect(service.taken.map((one) => messageIn(other, one)?.kind).sort()).toEqual(['frozen', 'reuse']);
  });

  test('of many events of one kind is a first one at once, and one with the newest', async () => {
    const browser = await subscribe('phone');
    for (let count = 0; count < 50; count++) pushes.tell('approval.asked', { session: SESSION });
    const newest = SESSION.replace('0197', '0198');
    pushes.tell('approval.asked', { session: newest });
    await took(2);
    expect(service.taken.map((one) => messageIn(browser, one)?.id)).toEqual([SESSION, newest]);
  });

  test('is not sent where a name leads into the network, not even in part', async () => {
    await subscribe('phone');
    const id = idOfEndpoint('https://fcm.googleapis.com/fcm/send/phone');
    for (const inside of [
      '127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      '::1',
      'fd00::1',
      '::ffff:127.0.0.1',
      '0.0.0.0',
    ]) {
      service.addresses = [PUBLIC, inside];
      expect(await pushes.test(id)).toMatchObject({ state: 'failed', why: 'it has no public address here' });
    }
    service.addresses = [];
    expect(await pushes.test(id)).toMatchObject({ state: 'failed' });
    expect(service.taken).toEqual([]);
  });

  test('takes the next address where one cannot be reached', async () => {
    await subscribe('phone');
    service.addresses = ['2600::1', PUBLIC];
    service.answer = (address) => {
      if (address !== PUBLIC) throw new Error('no route');
      return new Response('', { status: 201 });
    };
    expect(await pushes.test(idOfEndpoint('https://fcm.googleapis.com/fcm/send/phone'))).toEqual({ state: 'sent' });
  });

  test('follows no redirect, and says so', async () => {
    await subscribe('phone');
    service.answer = () => Response.redirect('http://127.0.0.1/', 307);
    const outcome = await pushes.test(idOfEndpoint('https://fcm.googleapis.com/fcm/send/phone'));
    expect(outcome).toEqual({ state: 'failed', why: 'it answered 307', isTransient: false });
    expect(service.taken).toHaveLength(1);
  });

  test('is tried again by a service that is busy', async () => {
    await subscribe('phone');
    service.answer = () => new Response('', { status: service.taken.length === 1 ? 503 : 201 });
    pushes.tell('approval.asked', { session: SESSION });
    await took(2);
    expect(warnings).toEqual([]);
  });

  test.each([404, 410])('that is answered %d was the last one', async (status) => {
    await subscribe('phone');
    const id = idOfEndpoint('https://fcm.googleapis.com/fcm/send/phone');
    service.answer = () => new Response('', { status });
    expect(pushes.gone()).toEqual([]);
    expect(await pushes.test(id)).toEqual({ state: 'gone' });
    expect(pushes.gone()).toEqual([id]);
    pushes.tell('approval.asked', { session: SESSION });
    await Bun.sleep(50);
    expect(service.taken).toHaveLength(1);
  });

  test('comes at most so often in a minute, each kind by itself, and no log names the endpoint', async () => {
    await subscribe('phone', ['waits', 'freeze']);
    const id = idOfEndpoint('https://fcm.googleapis.com/fcm/send/phone');
    for (let count = 0; count < 30; count++) await pushes.test(id);
    expect(service.taken).toHaveLength(10);
    pushes.tell('server.frozen', {});
    await took(11);
    service.answer = () => new Response('', { status: 400 });
    pushes.tell('approval.asked', { session: SESSION });
    await eventually('a warning', () => warnings.length > 0);
    expect(warnings.join()).toContain('it answered 400');
    expect(warnings.join()).not.toContain('fcm/send');
  });
});

test('without a subscription nothing is sent, and what cannot be read is told once', async () => {
  pushes.tell('approval.asked', { session: SESSION });
  expect(warnings).toEqual([]);
  await subscribe('phone');
  writeFileSync(files.passkeysFile, 'no JSON');
  for (const type of ['approval.asked', 'server.frozen', 'grant.ended']) pushes.tell(type, {});
  expect(warnings).toHaveLength(1);
  expect(service.taken).toEqual([]);
});
