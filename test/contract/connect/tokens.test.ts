import { afterAll, describe, expect, test } from 'bun:test';
import { ensurePrograms } from '../../helpers/debian.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { allow, HOSTS, OAuthHost, type Tokens } from '../../helpers/oauth-host.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

ensurePrograms('gcc');
const clock = new MovedClock();
const server = await SignInAgent.start(clock.settings);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  clock[Symbol.dispose]();
});

let names = 0;
const newName = () => `client-${++names}`;
const signIn = (...options: readonly string[]) => server.signIn(HOSTS.claude, newName(), ...options);

const statusOf = async ({ access }: Tokens) => (await server.call(access)).status;

/** Asserts that nothing of a grant is good any more. */
async function expectEnd(host: OAuthHost, ...all: readonly Tokens[]): Promise<void> {
  for (const tokens of all) {
    expect(await statusOf(tokens)).toBe(401);
    await expect(host.refresh(tokens.refresh)).rejects.toThrow();
  }
}

/** Asserts that the end of a grant is on record, with a reason that has these words in it. */
async function expectOnRecord(name: string, why: RegExp): Promise<void> {
  await eventually(`an end of ${name} on record`, () =>
    server.record.some((line) => JSON.stringify(line).includes(name) && why.test(JSON.stringify(line))),
  );
}

describe('tokens of a client', () => {
  test('are good for an hour, and are renewed after it', async () => {
    const { host, tokens } = await signIn();
    clock.move(HOUR - 60);
    expect(await statusOf(tokens)).toBe(200);
    clock.move(120);
    const late = await server.call(tokens.access);
    expect([late.status, late.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ]);
    const newer = await host.refresh(tokens.refresh);
    expect(await statusOf(newer)).toBe(200);
  });

  test('come again to a client that lost the answer, also a day later', async () => {
    const { host, tokens } = await signIn();
    const lost = await host.refresh(tokens.refresh);
    clock.move(DAY + HOUR);
    const again = await host.refresh(tokens.refresh);
    expect(again.refresh).toBe(lost.refresh);
    expect(await statusOf(again)).toBe(200);
    expect(await statusOf(await host.refresh(again.refresh))).toBe(200);
  });

  test('are good for each of three that refresh at once', async () => {
    const { host, tokens } = await signIn();
    const three = await Promise.all([1, 2, 3].map(() => host.refresh(tokens.refresh)));
    for (const one of three) expect(await statusOf(one)).toBe(200);
    const next = await Promise.all(three.map(({ refresh }) => host.refresh(refresh)));
    for (const one of next) expect(await statusOf(one)).toBe(200);
  });

  test('end with a refresh token that comes a minute after its successor was used', async () => {
    const { host, tokens } = await signIn();
    const newer = await host.refresh(tokens.refresh);
    expect(await statusOf(newer)).toBe(200);
    clock.move(30);
    expect((await host.refresh(tokens.refresh)).refresh).toBe(newer.refresh);
    clock.move(60);
    await expect(host.refresh(tokens.refresh)).rejects.toThrow();
    await expectEnd(host, tokens, newer);
    await expectOnRecord(`client-${names}`, /replaced|reuse|again/);
    const told = await server.agent.log.find('the owner is told', (line) => line['token'] === `client-${names}`);
    expect(told['level']).toBeOneOf(['warn', 'error']);
  });

  test('end with a refresh token that is older than the one before, at once', async () => {
    const { host, tokens } = await signIn();
    const second = await host.refresh(tokens.refresh);
    const third = await host.refresh(second.refresh);
    await expect(host.refresh(tokens.refresh)).rejects.toThrow();
    await expectEnd(host, tokens, second, third);
  });

  test('end with a code that comes twice', async () => {
    await using terminal = server.connect('--name', newName(), '--client', 'claude', '--yes');
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const asking = await host.ask();
    const answer = await allow(asking.url, await terminal.code());
    const tokens = await host.exchange(asking, answer);
    expect(await statusOf(tokens)).toBe(200);
    await expect(host.exchange(asking, answer)).rejects.toThrow();
    await expectEnd(host, tokens);
    await expectOnRecord(`client-${names}`, /used twice|replay|twice/);
  });

  test('are not given for a code that came a minute too late', async () => {
    await using terminal = server.connect('--name', newName(), '--client', 'claude');
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const asking = await host.ask();
    const answer = await allow(asking.url, await terminal.code());
    clock.move(61);
    await expect(host.exchange(asking, answer)).rejects.toThrow();
  });

  test('end with their grant, and promise no more time than it has', async () => {
    const { host, tokens, terminal } = await signIn('--expires', '24h');
    const end = Date.parse(String(terminal.find(({ event }) => event === 'code')?.['expires']));
    expect(Math.abs(end - clock.now() - DAY * 1000)).toBeLessThan(60_000);
    clock.move(DAY - HOUR / 2);
    const last = await host.refresh(tokens.refresh);
    expect(await statusOf(last)).toBe(200);
    clock.move(HOUR / 2 + 60);
    await expectEnd(host, last);
  });

  test('outlive 89 days without a call, and not 91', async () => {
    const { host, tokens } = await signIn();
    clock.move(89 * DAY);
    const kept = await host.refresh(tokens.refresh);
    expect(await statusOf(kept)).toBe(200);
    clock.move(91 * DAY);
    await expect(host.refresh(kept.refresh)).rejects.toThrow();
  });

  test('of a thief and a victim who both refresh end for both', async () => {
    const { host, tokens } = await signIn();
    let [victim, thief] = [tokens, tokens];
    const rounds = async () => {
      for (let round = 0; round < 4; round++) {
        thief = await host.refresh(thief.refresh);
        await statusOf(thief);
        clock.move(HOUR);
        victim = await host.refresh(victim.refresh);
        await statusOf(victim);
        clock.move(HOUR);
      }
    };
    await expect(rounds()).rejects.toThrow();
    await expectEnd(host, victim, thief);
  });
});

describe('a client outlives', () => {
  test('a restart and a kill of the agent at every step of its sign-in', async () => {
    const name = newName();
    await using terminal = server.connect('--name', name, '--client', 'other', '--yes');
    const code = await terminal.code();
    const host = await OAuthHost.discover(HOSTS.other, server.mcp);
    await server.agent.restart();
    const asking = await host.ask();
    const answer = await allow(asking.url, code);
    await server.agent.kill9();
    await server.agent.restart();
    const tokens = await host.exchange(asking, answer);
    expect(await terminal.ended()).toBe(0);
    await server.agent.kill9();
    await server.agent.restart();
    expect(await statusOf(tokens)).toBe(200);
    const lost = await host.refresh(tokens.refresh);
    await server.agent.kill9();
    await server.agent.restart();
    const again = await host.refresh(tokens.refresh);
    expect(again.refresh).toBe(lost.refresh);
    for (const era of ['older', 'newer'] as const)
      expect((await server.call(again.access, undefined, { era })).status).toBe(200);
  });

  test('nothing where its key is another: it is told to begin again', async () => {
    await using brief = await SignInAgent.start();
    const { host, tokens } = await brief.signIn(HOSTS.other, 'x');
    await brief.agent.restart({ AGENT3_GRANT_KEY: 'another-key-of-thirty-two-characters' });
    expect((await brief.call(tokens.access)).status).toBe(401);
    const answer = await fetch(host.server.token_endpoint ?? '', {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: host.client.client_id,
        refresh_token: tokens.refresh,
      }),
    });
    expect([answer.status, (await answer.text()).includes('invalid_client')]).toEqual([401, true]);
  });
});
