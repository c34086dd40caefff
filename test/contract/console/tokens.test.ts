import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hashToken, readTokens } from '../../../src/access/token-file.ts';
import { type CreateTokenOrder, codeHash, newOrder, type Order, type OrderResult } from '../../../src/console/order.ts';
import { newToken } from '../../../src/lib/token.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { CONSOLE_USER, ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

describe.skipIf(process.geteuid?.() !== 0)('tokens from the console', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  const lost = new Authenticator();
  const TOKENS = place.join('tokens.json');
  const AUDIT = place.join('audit.jsonl');
  const env = {
    ...files.settings,
    AGENT3_APPROVALS_DIR: place.join('approvals'),
    AGENT3_PROFILES_DIR: place.join('profiles.d'),
    AGENT3_TOKENS_FILE: TOKENS,
    AGENT3_GRANT_KEY: 'g'.repeat(40),
  };
  let agent: Agent;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    for (const name of ['approvals', 'profiles.d']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), 'extends = "full"\n');
    await files.pin(lost);
    // The directory of another console: this test says when root obeys.
    const settings = { ...env, AGENT3_CONSOLE_DIR: place.join('none'), AGENT3_AUDIT_FILE: AUDIT };
    agent = await startAgent(settings);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const obey = async (id: string): Promise<OrderResult> => {
    const { code, stderr } = await agent3(['console', 'obey'], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(readFileSync(`${files.answers}/order-${id}.json`, 'utf8')) as OrderResult;
  };
  const leave = async (order: Order, phone = files.phone, signed = order): Promise<OrderResult> =>
    obey(files.leave(order, { assertion: await phone.sign(signed) }));
  const secret = newToken();
  const createOf = (more: Partial<CreateTokenOrder> = {}): CreateTokenOrder => ({
    ...newOrder(),
    ...{ kind: 'create-token', token: 'phone', made: '0123abcd', profile: 'careful', expires_at: null },
    sha256: hashToken(secret),
    ...more,
  });
  const statusOf = async (token: string): Promise<number> =>
    (await agent.request('/', { method: 'POST', body: '{"op":"server_info"}', headers: { 'x-auth-token': token } }))
      .status;
  const refused = (why: string) => ({ state: 'refused', why: expect.stringContaining(why) });
  const create = createOf();

  test('are made by a signature over their hash, and work; root lists them, and they are on record', async () => {
    expect(await leave(create)).toEqual({ id: create.id, state: 'done' });
    expect(await statusOf(secret)).toBe(200);
    const by = `Pixel 9 (passkey ${(await files.phone.passkey()).fingerprint})`;
    const { stdout } = await agent3(['token', 'list', '--json', '--file', TOKENS]);
    expect(JSON.parse(stdout)).toMatchObject([{ name: 'phone', id: '0123abcd', profile: 'careful', made_by: by }]);
    expect(stdout).not.toContain('clientDataJSON');
    expect((await agent3(['token', 'list', '--file', TOKENS])).stdout).toContain(`made by ${by}`);
    await eventually('it is on record', () => linesOf(AUDIT).some((line) => line['what'] === 'token order'));
    const { code, stdout: verified } = await verify(AUDIT);
    expect([code, verified]).toEqual([0, expect.stringContaining(by)]);
    const forged = place.join('forged.jsonl');
    const lines = textOf(AUDIT).map((line) => line.replace('"profile":"careful","until"', '"profile":"full","until"'));
    writeFileSync(forged, `${lines.join('\n')}\n`);
    expect((await verify(forged)).stderr + (await verify(forged)).stdout).toContain(
      'its signature is for something else',
    );
  });

  test('change their profile and their end', async () => {
    const end = Date.now() + 86_400_000;
    const change = { ...newOrder(), kind: 'change-token', token: 'phone', made: '0123abcd' } as const;
    expect(await leave({ ...change, profile: 'readonly', expires_at: end })).toMatchObject({ state: 'done' });
    expect(readTokens(TOKENS)).toMatchObject([{ name: 'phone', profile: 'readonly', expires_at: end }]);
    expect(await leave({ ...change, ...newOrder(), profile: 'none', expires_at: null })).toMatchObject(
      refused('there is no profile none'),
    );
    expect(await leave({ ...change, ...newOrder(), profile: 'full', expires_at: 1 })).toMatchObject(
      refused('its end is in the past'),
    );
    expect(
      await leave({ ...change, ...newOrder(), made: 'ffffffff', profile: 'full', expires_at: null }),
    ).toMatchObject(refused('this token is gone, or was replaced'));
  });

  test('attack: a change that somebody signed before the last one does not come back', async () => {
    const scope = { token: 'phone', made: '0123abcd', expires_at: null } as const;
    const older = { ...newOrder(), ...scope, kind: 'change-token', profile: 'full' } as const;
    const newer = { ...newOrder(older.at + 1), ...scope, kind: 'change-token', profile: 'readonly' } as const;
    expect(await leave(newer)).toMatchObject({ state: 'done' });
    expect(await leave(older)).toMatchObject(refused('a later order'));
    expect(readTokens(TOKENS)).toMatchObject([{ profile: 'readonly' }]);
  });

  test('attack: an assertion is good for no other hash, profile, end, name or kind, and for no other passkey', async () => {
    const signed = createOf({ token: 'other', made: 'aaaaaaaa', sha256: 'a'.repeat(64) });
    for (const change of [
      { sha256: 'b'.repeat(64) },
      { profile: 'full' },
      { expires_at: Date.now() + 1e9 },
      { token: 'another' },
      { made: 'bbbbbbbb' },
    ])
      expect(await leave({ ...signed, ...newOrder(), ...change }, files.phone, signed)).toMatchObject({
        state: 'refused',
      });
    expect(await leave({ ...signed, ...newOrder() }, new Authenticator())).toMatchObject(refused('is not linked'));
    const unsigned = { ...signed, ...newOrder() };
    expect(await obey(files.leave(unsigned))).toMatchObject(refused('needs the signature'));
    expect(readTokens(TOKENS)).toBeArrayOfSize(1);
  });

  test('attack: a taken console cannot lay down tokens, nor a link in place of an order', async () => {
    const order = createOf({ token: 'other', made: 'aaaaaaaa', sha256: 'a'.repeat(64) });
    const target = place.join('target.json');
    writeFileSync(target, JSON.stringify({ order, by: 'x', assertion: await files.phone.sign(order) }));
    chownSync(target, CONSOLE_USER, CONSOLE_USER);
    symlinkSync(target, `${files.directory}/root-orders/${order.id}.json`);
    expect(await obey(order.id)).toMatchObject(refused('cannot be read'));
    // What lies in the directory of the console is no file of tokens.
    writeFileSync(`${files.directory}/tokens.json`, readFileSync(TOKENS));
    expect(readTokens(TOKENS)).toBeArrayOfSize(1);
  });

  test('attack: the order that made a token makes it no second time, also after it was revoked', async () => {
    expect(await obey(files.leave({ kind: 'revoke', token: 'phone', made: '0123abcd' }))).toMatchObject({
      state: 'done',
    });
    await eventually('it works no more', async () => (await statusOf(secret)) === 403);
    // Its answer is forgotten, as after many others.
    rmSync(`${files.answers}/order-${create.id}.json`);
    expect(await leave(create)).toMatchObject(refused('a later order'));
    const again = { ...create, id: crypto.randomUUID() };
    expect(await leave(again, files.phone, create)).toMatchObject({ state: 'refused' });
    expect(await statusOf(secret)).toBe(403);
    expect(readTokens(TOKENS)).toEqual([]);
  });

  test('cannot have a name or a secret that is taken, nor that of the token of the settings', async () => {
    expect(await leave(createOf({ token: 'default' }))).toMatchObject(refused('Choose another'));
    expect(await leave(createOf())).toMatchObject({ state: 'done' });
    expect(await leave(createOf())).toMatchObject(refused('the token phone exists already'));
    expect(await leave(createOf({ token: 'two', made: '22222222' }))).toMatchObject(
      refused('another token has this secret'),
    );
    expect(await leave(createOf({ token: 'two', sha256: 'c'.repeat(64) }))).toMatchObject(
      refused('another token has this id'),
    );
  });

  test('end with the passkey that made them', async () => {
    const theirs = createOf({ token: 'theirs', made: '33333333', sha256: 'd'.repeat(64) });
    expect(await leave(theirs, lost)).toMatchObject({ state: 'done' });
    const { fingerprint } = await lost.passkey();
    const { stdout } = await agent3(['console', 'remove', fingerprint], env);
    expect(stdout).toContain('ended theirs, a token or grant that it had made or kept');
    expect(readTokens(TOKENS).map(({ name }) => name)).toEqual(['phone']);
  });

  test('make a one-time code that the page alone knows', async () => {
    const code = 'ABCDEFGHIJKLMNOP';
    const order = {
      ...newOrder(),
      kind: 'connect-code',
      ...{ token: 'chat', made: '44444444', profile: 'readonly', expires_at: null },
      ...{ client: 'chatgpt', code_sha256: await codeHash(code) },
    } as const;
    expect(await leave({ ...order, client: 'nobody' })).toMatchObject(refused('no such kind'));
    expect(await leave({ ...order, ...newOrder() })).toMatchObject({ state: 'done' });
    expect(readTokens(TOKENS).find(({ name }) => name === 'chat')).toMatchObject({ grant: { client: 'chatgpt' } });
    expect(readFileSync(TOKENS, 'utf8')).not.toContain(code);
    const keep = { ...newOrder(), kind: 'keep-client', token: 'chat', made: '44444444' } as const;
    expect(await leave({ ...keep, client: 'ChatGPT', redirect: 'https://chatgpt.com/', address: '' })).toMatchObject(
      refused('the client that has come is not the one that was shown'),
    );
  });
});
