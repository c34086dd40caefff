import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { MAX_MESSAGE_BYTES, REPLY, STATE, seal } from '../../../src/fleet/envelope.ts';
import { SigningKey } from '../../../src/fleet/keys.ts';
import { connectOnce } from '../../../src/fleet/nats.ts';
import { answerSubject, stateSubject } from '../../../src/fleet/nats-config.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { TestNats } from '../../helpers/nats.ts';
import { idIn, RawHub } from '../../helpers/raw-hub.ts';
import { StallingRelay } from '../../helpers/stalling-relay.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const hours = new MovedClock();
let nats: TestNats;
let hub: Agent;
let web1: Agent;
let web2: Agent;
/** Between web2 and NATS. */
let network: StallingRelay;
let raw: RawHub;

beforeAll(async () => {
  hours.move(3600);
  nats = await TestNats.start('web1', 'web2', 'evil');
  // Its clock is an hour ahead, in all that is tried here.
  web1 = await startAgent({ ...nats.serverSettings('web1'), ...hours.settings });
  network = await StallingRelay.open(Number(new URL(nats.url).port));
  web2 = await startAgent(nats.serverSettings('web2', 'readonly', { url: `tls://127.0.0.1:${network.port}` }));
  hub = await startAgent(nats.hubSettings);
  await connected('web1', 'web2');
  raw = await RawHub.open(nats);
});
afterAll(async () => {
  for (const one of [raw, hub, web1, web2, nats]) await one?.[Symbol.asyncDispose]();
  network?.[Symbol.dispose]();
  hours[Symbol.dispose]();
  directory[Symbol.dispose]();
});

type Fields = Readonly<Record<string, unknown>>;

const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

async function call(server: string, cmd: string, more: Fields = {}, op = 'shell'): Promise<Fields> {
  try {
    const { status, text } = await hub.request(`/${op}`, {
      method: 'POST',
      headers: { 'x-auth-token': hub.token },
      body: JSON.stringify({ server, ...(cmd !== '' && { cmd }), ...more }),
    });
    return { ...(JSON.parse(text) as Fields), http: status };
  } catch (error) {
    // The hub itself is gone.
    return { http: 0, error: String(error) };
  }
}

async function connected(...names: string[]): Promise<void> {
  for (const name of names)
    await eventually(`${name} is connected`, async () => (await call(name, 'true'))['http'] === 200);
}

describe('a request', () => {
  test('runs once, however often it comes, and not on another server', async () => {
    const file = directory.join('once');
    const sealed = raw.seal(await raw.request('web1', 'shell', { cmd: `echo run >> ${file}` }));
    expect((await raw.ask(sealed, 'web1'))?.status).toBe(200);
    for (let again = 0; again < 3; again++) raw.send(sealed, 'web1');
    expect(await raw.ask(sealed, 'web1')).toBeUndefined();
    expect(await raw.ask(sealed, 'web2')).toBeUndefined();
    expect(readFileSync(file, 'utf8')).toBe('run\n');
    await eventually('it is too late', async () => (await raw.ask(sealed, 'web1'))?.kind === 'stale');
  });

  test('of another key, with another name, or for what a hub may not ask does nothing', async () => {
    const file = directory.join('never');
    const args = { cmd: `touch ${file}` };
    for (const key of [SigningKey.create(), nats.keyOf('web2')])
      expect(await raw.ask(raw.seal(await raw.request('web1', 'shell', args), key), 'web1')).toBeUndefined();
    const lied = await raw.call('web1', 'shell', args, { name: 'web9' });
    expect(lied).toMatchObject({ status: 403, body: { error: 'Forbidden' } });
    for (const [op, given] of [
      ['run_on', { ...args, servers: ['web1'] }],
      ['transfer', { step: 'read', secret: '../etc/shadow', from: 0, to: 10 }],
      ['transfer', { step: 'other' }],
      ['stream', { step: 'next', session: crypto.randomUUID() }],
      ['stream', null],
    ] as const)
      expect((await raw.call('web1', op, given))?.status).toBe(400);
    expect(existsSync(file)).toBe(false);
  });

  test('of a hub that lies about its token is that of the hub, within the profile of the hub', async () => {
    const file = directory.join('touched');
    const lied = await raw.call('web2', 'shell', { cmd: `touch ${file}; id -u` }, { principal: 'default' });
    expect(lied?.status).toBe(200);
    expect(existsSync(file)).toBe(false);
    const sessions = await raw.call('web2', 'list_sessions', {}, { principal: 'other' });
    expect(sessions?.body).toMatchObject({ sessions: [] });
  });

  test('with pieces of links, as many and as long as NATS takes, does not fill the memory of the server', async () => {
    const made = await raw.call('web1', 'upload', { path: directory.join('filled') });
    const { url = '' } = (made?.body ?? {}) as { readonly url?: string };
    const secret = url.split('/').at(-1);
    const write = await raw.request('web1', 'transfer', { step: 'write', secret, offset: 0 });
    const longest = new Uint8Array(MAX_MESSAGE_BYTES - 2000);
    const before = rssOf(web1.pid);
    let most = 0;
    for (let sent = 0; sent < 300; sent++) {
      const request = { ...write, id: Bun.randomUUIDv7(), not_after: write.not_after + 5000 };
      raw.send(raw.seal(request, nats.hub, longest), 'web1');
      await raw.connection.flush();
      most = Math.max(most, rssOf(web1.pid));
    }
    expect(most - before).toBeLessThan(280);
    expect((await raw.call('web1', 'shell', { cmd: 'true' }))?.status).toBe(200);
  });
});

describe('a server that was taken over', () => {
  test('answers for no other, though it knows the request', async () => {
    using trigger = new Trigger();
    const evil = await connectOnce(nats.address(nats.keyOf('evil')));
    const begun = Promise.withResolvers<string>();
    const seen = raw.connection.subscribe(answerSubject(nats.keyOf('web1').publicKey), {
      callback: (_, message) => begun.resolve(idIn(message.data)),
    });
    const answer = call('web1', `${trigger.wait}; echo true`);
    const id = await begun.promise;
    const forged = {
      ...{ instance: crypto.randomUUID(), id, clock: 0, status: 200, headers: {} },
      kind: 'answer',
      body: { stdout: 'forged\n', exit_code: 0 },
    } as const;
    for (const server of [nats.keyOf('web1'), nats.keyOf('evil')]) {
      const sealed = seal(REPLY, { ...forged, server: server.publicKey }, nats.keyOf('evil'));
      evil.publish(answerSubject(nats.keyOf('evil').publicKey), sealed);
      evil.publish(answerSubject(nats.keyOf('web1').publicKey), sealed);
      evil.publish(`a3.hub.${id}`, sealed);
    }
    await evil.flush();
    trigger.open();
    expect(await answer).toMatchObject({ http: 200, server: 'web1', stdout: expect.stringMatching(/true\n$/) });
    seen.unsubscribe();
    await evil.close();
  });

  test('floods in vain: it is not heard, and the others are', async () => {
    const key = nats.keyOf('evil');
    const evil = await connectOnce(nats.address(key));
    const state = {
      server: key.publicKey,
      instance: crypto.randomUUID(),
      clock: 0,
      version: '',
      os: '',
      load: [],
      frozen: false,
    };
    const sealed = seal(STATE, { ...state, count: 1, profile: '', operations: [], leaving: false }, key);
    for (let count = 0; count < 3000; count++) evil.publish(stateSubject(key.publicKey), sealed);
    await evil.flush();
    await hub.log.find('the flood is seen', (line) => String(line['msg']).includes('sends too much'));
    expect(await call('web1', 'echo here')).toMatchObject({ stdout: 'here\n' });
    await evil.close();
  });
});

test('a request that the network holds for longer than two seconds is not run when it comes', async () => {
  network.stall();
  const from = performance.now();
  const answer = await call('web2', 'echo late');
  expect(performance.now() - from).toBeGreaterThan(1900);
  expect(answer).toMatchObject({ http: 504, error: 'Unknown outcome' });
  await Bun.sleep(500);
  network.release();
  await connected('web2');
  const { sessions } = await call('web2', '', {}, 'list_sessions');
  expect(JSON.stringify(sessions)).not.toContain('echo late');
});

test('two machines with one key are not called', async () => {
  const twin = await startAgent({ ...nats.serverSettings('web2', 'readonly') });
  try {
    await eventually('the hub has seen both', async () => {
      // Both say how they are.
      await raw.look('web2');
      return String((await call('web2', 'true'))['message']).includes('two machines have the key');
    });
  } finally {
    await twin[Symbol.asyncDispose]();
  }
});

/** Runs calls, each of which leaves one line with its number and where it ran; returns what was said of each. */
async function storm(file: string, count: number, meanwhile: (done: () => number) => Promise<void>) {
  const outcomes: Fields[] = [];
  let done = 0;
  const workers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const number = outcomes.length;
      if (number >= count) return;
      outcomes.push({});
      const server = number % 3 === 0 ? 'hub' : 'web1';
      outcomes[number] = { target: server, ...(await call(server, `echo ${number} $PPID >> ${file}; echo ${number}`)) };
      done++;
      if (outcomes[number]['http'] !== 200) await Bun.sleep(10);
    }
  });
  await Promise.all([meanwhile(() => done), ...workers]);
  return outcomes;
}

/** Each call was run at most once, where it should, and what was said of it is true. */
function check(outcomes: readonly Fields[], file: string, pids: Readonly<Record<string, readonly number[]>>): void {
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  outcomes.forEach((outcome, number) => {
    const ran = lines.filter(([which]) => which === number);
    const what = JSON.stringify({ number, ran, ...outcome });
    if (ran.length > 1) throw new Error(`ran twice: ${what}`);
    const [pid] = ran.map(([, ppid]) => ppid ?? 0);
    if (pid !== undefined && !pids[String(outcome['target'])]?.includes(pid)) throw new Error(`ran elsewhere: ${what}`);
    const { http, error } = outcome;
    if (http === 200 && outcome['exit_code'] === 0 && ran.length !== 1) throw new Error(`said to have run: ${what}`);
    if (error === 'Unreachable' && ran.length > 0) throw new Error(`said not to have run: ${what}`);
    if (![0, 200, 503, 504].includes(Number(http))) throw new Error(`another answer: ${what}`);
  });
}

describe('in a storm of calls', () => {
  test('NATS is killed and comes back: none is doubled, misdirected, or lost in silence', async () => {
    const file = directory.join('nats-storm');
    const outcomes = await storm(file, 400, async (done) => {
      for (const at of [60, 160]) {
        await eventually('some calls are through', () => done() > at);
        await nats.kill();
        // A clock that is set back keeps no server from coming back.
        hours.move(-600);
        await call('web1', 'true');
        await nats.run();
        await connected('web1');
      }
    });
    check(outcomes, file, { hub: [hub.pid], web1: [web1.pid] });
    expect(outcomes.filter(({ http }) => http === 200).length).toBeGreaterThan(100);
  });

  test('the hub is killed and comes back', async () => {
    const file = directory.join('hub-storm');
    // A command whose agent was killed just before has another parent.
    const pids = [hub.pid, 1];
    const outcomes = await storm(file, 200, async (done) => {
      await eventually('some calls are through', () => done() > 40);
      await hub.kill9();
      await hub.restart();
      pids.push(hub.pid);
      await connected('web1');
    });
    check(outcomes, file, { hub: pids, web1: [web1.pid] });
    // All may have ended while it was away.
    expect((await call('web1', 'true'))['http']).toBe(200);
  });
});

test('a server that is killed in the middle of a call: its outcome is not known, and is found there later', async () => {
  const file = directory.join('killed');
  const answer = call('web1', `echo begun > ${file}; sleep 600`, { key: 'in-the-middle' });
  await eventually('it has begun', () => existsSync(file));
  await web1.kill9();
  expect(await within('the answer', answer)).toMatchObject({ http: 504, error: 'Unknown outcome' });
  expect(await call('web1', 'true')).toMatchObject({ http: 503, error: 'Unreachable' });
  writeFileSync(file, 'before');
  await web1.restart();
  await connected('web1');
  const { sessions } = await call('web1', '', {}, 'list_sessions');
  expect(JSON.stringify(sessions)).toContain('echo begun');
  // The same key runs nothing again.
  await call('web1', `echo begun > ${file}; sleep 600`, { key: 'in-the-middle', background: true });
  expect(readFileSync(file, 'utf8')).toBe('before');
});
