import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { SigningKey } from '../../src/fleet/keys.ts';
import { backoffMs, connectOnce, isRefused, type NatsConnection } from '../../src/fleet/nats.ts';
import { answerSubject, joinSubject, natsConfig, rpcSubject, stateSubject } from '../../src/fleet/nats-config.ts';
import { TestNats } from '../helpers/nats.ts';
import { within } from '../helpers/waiting.ts';

let nats: TestNats;
let hub: NatsConnection;
let web1: NatsConnection;
let web2: NatsConnection;

beforeAll(async () => {
  nats = await TestNats.start('web1', 'web2');
  hub = await connectOnce(nats.address(nats.hub));
  web1 = await connectOnce(nats.address(nats.keyOf('web1')));
  web2 = await connectOnce(nats.address(nats.keyOf('web2')));
});
afterAll(async () => {
  for (const connection of [hub, web1, web2]) await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

const keyOf = (name: string): string => nats.keyOf(name).publicKey;

/** The subscription of a connection, or the reason why NATS refuses it. */
async function subscribed(connection: NatsConnection, subject: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const subscription = connection.subscribe(subject, { callback: (error) => void (error && resolve(error.name)) });
  void connection.flush().then(() => setTimeout(resolve, 50, 'subscribed'));
  const outcome = await promise;
  subscription.unsubscribe();
  return outcome;
}

/** Whether what `from` publishes comes to the hub, which listens to everything it may. */
async function comesThrough(from: NatsConnection, subject: string): Promise<boolean> {
  let has = false;
  const all = ['a3.*.up.>', 'a3.hub.>'].map((one) =>
    hub.subscribe(one, {
      callback: (_, message) => {
        has ||= message.subject === subject;
      },
    }),
  );
  await hub.flush();
  from.publish(subject, 'text');
  await from.flush();
  await hub.flush();
  for (const one of all) one.unsubscribe();
  return has;
}

describe('a server', () => {
  test('publishes its state and late answers, and nothing of another, nor to the inboxes of the hub', async () => {
    expect(await comesThrough(web1, stateSubject(keyOf('web1')))).toBe(true);
    expect(await comesThrough(web1, answerSubject(keyOf('web1')))).toBe(true);
    for (const subject of [
      stateSubject(keyOf('web2')),
      answerSubject(keyOf('web2')),
      'a3.hub.abc.1',
      `a3.${keyOf('web1')}.up.x`,
    ])
      expect(await comesThrough(web1, subject)).toBe(false);
  });

  test('hears its own requests alone', async () => {
    expect(await subscribed(web1, rpcSubject(keyOf('web1')))).toBe('subscribed');
    const others = [
      rpcSubject(keyOf('web2')),
      'a3.*.rpc',
      'a3.>',
      '>',
      'a3.hub.>',
      stateSubject(keyOf('web2')),
      '$SRV.PING',
      '$SYS.>',
    ];
    for (const subject of others)
      expect(`${subject} ${await subscribed(web1, subject)}`).toBe(`${subject} PermissionViolationError`);
  });

  test('answers nothing to the inboxes of the hub, also a request', async () => {
    const subscription = web1.subscribe(rpcSubject(keyOf('web1')), {
      callback: (_, message) => {
        for (const text of ['begun', 'answer', 'more']) message.respond(text);
      },
    });
    await web1.flush();
    const answers: string[] = [];
    const inbox = hub.subscribe('a3.hub.test', { callback: (_, message) => void answers.push(message.string()) });
    hub.publish(rpcSubject(keyOf('web1')), 'request', { reply: 'a3.hub.test' });
    await hub.flush();
    await web1.flush();
    await hub.flush();
    await Bun.sleep(50);
    expect(answers).toEqual([]);
    subscription.unsubscribe();
    inbox.unsubscribe();
  });
});

describe('the hub', () => {
  test('speaks to servers, not as one', async () => {
    const other = await connectOnce(nats.address(nats.hub));
    expect(await comesThrough(other, stateSubject(keyOf('web1')))).toBe(false);
    await other.close();
    expect(await subscribed(hub, rpcSubject(keyOf('web1')))).toBe('PermissionViolationError');
  });

  test('hears at once that nobody listens', async () => {
    const asked = performance.now();
    const answer = hub.request(rpcSubject(keyOf('web2')), 'x', { timeout: 20_000 });
    expect(await answer.catch((error: Error) => error.message)).toContain('no responders');
    expect(performance.now() - asked).toBeLessThan(10_000);
  });
});

describe('NATS', () => {
  test('refuses a key that it does not know, and a client that expects another certificate', async () => {
    const stranger = await connectOnce(nats.address(SigningKey.create())).catch((error: unknown) => error);
    expect(isRefused(stranger)).toBe(true);
    const address = { ...nats.address(nats.hub), certificate: undefined };
    await (await connectOnce(address)).close();
    using other = await otherCertificate();
    const misled = await connectOnce({ ...address, certificate: other.pem }).catch((error: Error) => error);
    expect(misled).toBeInstanceOf(Error);
    expect(isRefused(misled)).toBe(false);
  });

  test('takes an invitation at a reload, and who is invited may do nothing but join', async () => {
    const [guest, host] = [SigningKey.create(), SigningKey.create()];
    nats.invite({ id: 'abc', guestKey: guest.publicKey, hostKey: host.publicKey });
    nats.reload();
    const guestConnection = await connected(guest);
    expect(await subscribed(guestConnection, joinSubject('abc'))).toBe('PermissionViolationError');
    expect(await comesThrough(guestConnection, stateSubject(keyOf('web1')))).toBe(false);
    nats.invite();
    nats.reload();
    await within('the end of the guest', guestConnection.closed());
    expect(isRefused(await connectOnce(nats.address(guest)).catch((error: unknown) => error))).toBe(true);
  });

  test('ends the connection of a server that was removed, within a second, and of no other', async () => {
    const removed = nats.add('web3');
    nats.reload();
    const connection = await connected(removed);
    nats.remove('web3');
    const from = performance.now();
    nats.reload();
    await within('the end of web3', connection.closed());
    expect(performance.now() - from).toBeLessThan(5000);
    expect([hub.isClosed(), web1.isClosed(), web2.isClosed()]).toEqual([false, false, false]);
  });
});

test('the configuration takes no text that could end another', () => {
  const place = { listen: '0.0.0.0', port: 4222, certificate: '/x/c"; port: 1', privateKey: '/k', pidFile: '/p' };
  expect(() => natsConfig(nats.inventory, place)).toThrow('cannot be used');
});

test('the pauses between attempts grow, and are not the same for all', () => {
  expect([0, 1, 2, 30].map((count) => backoffMs(count, 1))).toEqual([100, 200, 400, 30_000]);
  expect(backoffMs(0, 0)).toBe(50);
});

async function connected(key: SigningKey): Promise<NatsConnection> {
  for (let tries = 0; ; tries++) {
    try {
      return await connectOnce(nats.address(key));
    } catch (error) {
      if (tries === 100) throw error;
      await Bun.sleep(50);
    }
  }
}

async function otherCertificate() {
  const { TemporaryDirectory } = await import('../helpers/directories.ts');
  const { makeHubCertificate } = await import('../../src/fleet/certificate.ts');
  const directory = new TemporaryDirectory();
  makeHubCertificate(directory.path, '127.0.0.1');
  const pem = await Bun.file(directory.join('cert.pem')).text();
  return { pem, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}
