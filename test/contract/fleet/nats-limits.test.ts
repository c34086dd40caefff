import { afterAll, beforeAll, expect, test } from 'bun:test';
import { headers } from '@nats-io/transport-node';
import { connectOnce, keepConnected, type NatsConnection } from '../../../src/fleet/nats.ts';
import { rpcSubject } from '../../../src/fleet/nats-config.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import type { LogLine } from '../../helpers/logs.ts';
import { TestNats } from '../../helpers/nats.ts';
import { StallingRelay } from '../../helpers/stalling-relay.ts';
import { eventually } from '../../helpers/waiting.ts';

let nats: TestNats;
let hub: Agent;
let web1: Agent;

beforeAll(async () => {
  nats = await TestNats.start('web1', 'evil');
  web1 = await startAgent(nats.serverSettings('web1'));
  hub = await startAgent(nats.hubSettings);
  await connected();
});
afterAll(async () => {
  for (const one of [hub, web1, nats]) await one?.[Symbol.asyncDispose]();
});

async function call(server: string): Promise<number> {
  const body = JSON.stringify({ server, cmd: 'true' });
  const headers = { 'x-auth-token': hub.token };
  return (await hub.request('/shell', { method: 'POST', headers, body })).status;
}

async function connected(): Promise<void> {
  await eventually('web1 is connected', async () => (await call('web1')) === 200);
}

/** NATS comes back, and takes messages of at most so many bytes. */
async function startNatsWith(maxPayload: number): Promise<void> {
  await nats.kill();
  nats.write(maxPayload);
  await nats.run();
}

const says =
  (text: string) =>
  (line: LogLine): boolean =>
    JSON.stringify(line).includes(text);

test('a server whose messages have headers that cannot be read does not make the hub deaf for others', async () => {
  const key = nats.keyOf('evil');
  const evil = await connectOnce(nats.address(key));
  const broken = Object.assign(headers(), { encode: () => Buffer.from('NATS/1.0\r\nk\u0001 k: x\r\n\r\n') });
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  evil.subscribe(rpcSubject(key.publicKey), {
    callback: (_, message) => {
      message.respond(undefined, { headers: broken });
      resolve();
    },
  });
  await evil.flush();
  const ofEvil = call('evil');
  await answered;
  await evil.flush();
  expect(await call('web1')).toBe(200);
  expect(await ofEvil).toBe(504);
  await evil.close();
});

test('a NATS that ends each connection at once is not joined again as often', async () => {
  using network = await StallingRelay.open(Number(new URL(nats.url).port));
  let connection: NatsConnection | undefined;
  let joined = 0;
  const over = keepConnected(
    { ...nats.address(nats.hub), url: `tls://127.0.0.1:${network.port}` },
    {
      isOver: () => false,
      opened: (opened) => {
        connection = opened;
      },
      connected: () => {
        joined++;
        network.cut();
      },
      lost: () => {},
      failed: () => {},
    },
  );
  await Bun.sleep(2000);
  expect(joined).toBeGreaterThan(1);
  // Without longer and longer pauses it would be twenty times.
  expect(joined).toBeLessThan(8);
  await connection?.close();
  await over;
});

test('a NATS that takes no message of the fleet is not used, by a server and a hub that run, and at their start', async () => {
  await startNatsWith(200);
  for (const agent of [web1, hub])
    await agent.log.find('it is refused', says('NATS accepts messages of at most 200 bytes'));
  expect(await call('web1')).toBe(503);
  for (const agent of [web1, hub]) {
    expect(await agent.shell({ cmd: 'echo here' })).toMatchObject({ stdout: 'here\n' });
    await agent.restart();
    await agent.log.find('it is refused', says('NATS accepts messages of at most 200 bytes'));
    expect(await agent.shell({ cmd: 'echo here' })).toMatchObject({ stdout: 'here\n' });
  }
  await startNatsWith(2_097_152);
  await connected();
});
