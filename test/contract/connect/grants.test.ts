import { afterAll, describe, expect, test } from 'bun:test';
import { ensurePrograms } from '../../helpers/debian.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { HOSTS, OAuthHost, submit } from '../../helpers/oauth-host.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

ensurePrograms('gcc');
const clock = new MovedClock();
const server = await SignInAgent.start({ ...clock.settings, AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  clock[Symbol.dispose]();
});

describe('a grant is a token', () => {
  test('whose end leaves calls that are under way without their output, and takes no more', async () => {
    const { tokens } = await server.signIn(HOSTS.claude, 'under-way', '--profile', 'full');
    for (const [number, era] of (['older', 'newer'] as const).entries()) {
      const name = `under-way-${number}`;
      const signedIn = await server.signIn(HOSTS.claude, name, '--profile', 'full');
      using trigger = new Trigger();
      const cmd = `${trigger.arrive}; ${trigger.wait}; echo too late`;
      const call = server.call(signedIn.tokens.access, { cmd }, { era });
      await trigger.arrived();
      expect((await server.owner('token', 'revoke', name)).code).toBe(0);
      // 1 s, and as much for a busy machine.
      await eventually('no more calls', async () => (await server.call(signedIn.tokens.access)).status === 401, 2000);
      trigger.open();
      const { status, text } = await within('the end of the call', call, 12_000);
      expect({ text: text.includes('too late'), isEnd: status === 401 || /Unauthorized|ended/.test(text) }).toEqual({
        text: false,
        isEnd: true,
      });
    }
    expect((await server.call(tokens.access)).status).toBe(200);
  }, 60_000);

  test('with sessions of its own, which nobody else sees, nor who gets its name later', async () => {
    const first = await server.signIn(HOSTS.claude, 'own', '--profile', 'full');
    const other = await server.signIn(HOSTS.other, 'neighbour', '--profile', 'full');
    const ran = await server.call(first.tokens.access, { cmd: 'echo mine; sleep 300', background: true });
    expect(ran.status).toBe(200);
    const sessionsOf = async (access: string) => (await server.call(access, {}, { tool: 'list_sessions' })).text;
    expect(await sessionsOf(first.tokens.access)).toContain('echo mine');
    expect(await sessionsOf(other.tokens.access)).not.toContain('echo mine');
    await server.owner('token', 'revoke', 'own');
    await eventually('it has ended', async () => (await server.call(first.tokens.access)).status === 401);
    const later = await server.signIn(HOSTS.claude, 'own', '--profile', 'full');
    expect(await sessionsOf(later.tokens.access)).not.toContain('echo mine');
  });

  test('that is no other token: neither its id nor its hash nor its name opens a door', async () => {
    await server.signIn(HOSTS.claude, 'named', '--profile', 'full');
    const { stdout } = await server.owner('token', 'list', '--json');
    const record = JSON.parse(stdout).find((token: { name: string }) => token.name === 'named');
    expect(JSON.stringify(record)).not.toMatch(/sha256|seal|"code"/);
    const [file] = JSON.parse(await Bun.file(server.settings['AGENT3_TOKENS_FILE'] ?? '').text()).tokens.filter(
      (token: { name: string }) => token.name === 'named',
    );
    for (const guess of [file.id, file.sha256, file.name, file.grant.code, file.grant.seal, `at.${file.id}`])
      expect((await server.call(guess)).status).toBe(401);
  });

  test('with its own rate of requests', async () => {
    await using slow = await SignInAgent.start({ AGENT3_MAX_REQUESTS_PER_MINUTE: '30' });
    const first = await slow.signIn(HOSTS.claude, 'first');
    const second = await slow.signIn(HOSTS.other, 'second');
    const statuses: number[] = [];
    for (let count = 0; count < 40; count++)
      statuses.push((await slow.call(first.tokens.access, {}, { tool: 'server_info' })).status);
    expect(statuses).toContain(429);
    expect((await slow.call(second.tokens.access, {}, { tool: 'server_info' })).status).toBe(200);
    // Neither the client's tokens nor the page of another count as calls.
    await first.host.refresh(first.tokens.refresh);
  });
});

describe('on record', () => {
  test('is what the owner does at the terminal, while nobody calls', async () => {
    const told = () =>
      server.record.filter(({ token }) => String(token).startsWith('undecided#')).map(({ what }) => what);
    await using terminal = server.connect('--name', 'undecided', '--client', 'other');
    await terminal.code();
    await eventually('the code', () => told().includes('code made'));
    terminal.signal('SIGINT');
    await terminal.ended();
    await eventually('its end', () => told().includes('ended'));
    expect(told()).toEqual(['code made', 'ended']);
  });

  test('is what came with a code of root’s, from the code to the end, and no secret of it', async () => {
    const { host, tokens } = await server.signIn(HOSTS.claude, 'recorded', '--profile', 'full');
    const newer = await host.refresh(tokens.refresh);
    await server.call(newer.access, { cmd: 'echo put on record' });
    await host.revoke(newer.refresh);
    const lines = await eventually('its end', () => {
      const mine = server.record.filter((line) => JSON.stringify(line).includes('recorded#'));
      return mine.some((line) => JSON.stringify(line).includes('signed out')) && mine;
    });
    const whats = lines.map(({ event, what }) => (event === 'grant' ? what : event));
    expect(whats).toEqual(['code made', 'consent', 'connected', 'refreshed', 'used', 'start', 'end', 'ended']);
    for (const { token } of lines) expect(token).toMatch(/^recorded#[0-9a-f]{8}$/);
    expect(lines[5]).toMatchObject({ cmd: 'echo put on record', profile: 'full' });
    for (const secret of [tokens.access, tokens.refresh, newer.access, newer.refresh])
      expect(server.written).not.toContain(secret.slice(-43));
    expect((await server.owner('audit', 'verify')).code).toBe(0);
  });

  test('of strangers, is no line for each', async () => {
    const host = await OAuthHost.discover(HOSTS.other, server.mcp);
    const counted = () => server.record.filter((line) => JSON.stringify(line).includes('strangers'));
    const before = counted().length;
    const { url } = await host.ask();
    for (let count = 0; count < 25; count++)
      await submit(url, 'AAAAAAAAAA', 'allow', { 'x-forwarded-for': `203.0.113.${count}` });
    expect(counted().length - before).toBeLessThanOrEqual(1);
    expect(server.written).not.toContain('AAAAAAAAAA');
  });
});

describe('a person at the page', () => {
  const from = { 'x-forwarded-for': '198.51.100.90' };

  test('who enters nothing is asked for the code, and has tried none', async () => {
    await using terminal = server.connect('--name', 'empty', '--client', 'claude');
    const code = await terminal.code();
    const { url } = await (await OAuthHost.discover(HOSTS.claude, server.mcp)).ask();
    for (let count = 0; count < 25; count++) {
      const answer = await submit(url, count % 2 === 0 ? '' : ' - ', 'allow', from);
      expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining('No code was entered.')]);
    }
    expect((await submit(url, code, 'allow', from)).status).toBe(303);
  });

  test('who presses Cancel without the code is shown to the terminal, and is not called the owner', async () => {
    await using terminal = server.connect('--name', 'cancelled', '--client', 'claude');
    const code = await terminal.code();
    const { url } = await (await OAuthHost.discover(HOSTS.claude, server.mcp)).ask();
    const describe = async (typed: string) =>
      new URL((await submit(url, typed, 'deny', from)).headers.get('location') ?? '').searchParams.get(
        'error_description',
      );
    expect(await describe('')).toBe('Cancel was pressed on the page');
    const pressed = 'Cancel was pressed on the page from 198.51.100.90, without the code';
    await terminal.says(pressed);
    expect(await describe(code)).toBe('The owner of the server refused');
    expect(await terminal.ended()).toBe(1);
  });
});

describe('guessing', () => {
  test('of codes and tokens from one address is answered 429, and others still come through', async () => {
    const host = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const { tokens } = await server.signIn(HOSTS.claude, 'undisturbed');
    const from = { 'x-forwarded-for': '198.51.100.77' };
    const guess = (fields: Readonly<Record<string, string>>) =>
      fetch(host.server.token_endpoint ?? '', {
        method: 'POST',
        headers: from,
        body: new URLSearchParams({ client_id: host.client.client_id, ...fields }),
      });
    const statuses = new Set<number>();
    for (let count = 0; count < 30; count++) {
      const wrong = `rt.0badc0de.abc.${count}.${'A'.repeat(43)}`;
      statuses.add((await guess({ grant_type: 'refresh_token', refresh_token: wrong })).status);
    }
    expect([...statuses].sort()).toEqual([400, 429]);
    await using terminal = server.connect('--name', 'guessed', '--client', 'claude');
    const code = await terminal.code();
    const { url } = await host.ask();
    // He may not try codes either; the owner, from where he is, may.
    expect((await submit(url, code, 'allow', from)).status).toBe(429);
    expect((await host.refresh(tokens.refresh)).access).not.toBe(tokens.access);
    expect((await submit(url, code, 'allow', { 'x-forwarded-for': '198.51.100.78' })).status).toBe(303);
  });
});
