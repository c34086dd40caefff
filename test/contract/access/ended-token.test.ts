import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

test.skipIf(process.geteuid?.() !== 0)(
  'what waits for approval is not run after the end of its token, even when it is approved',
  async () => {
    using directory = new TemporaryDirectory();
    const [profiles, approvals, victim] = ['profiles.d', 'approvals', 'victim'].map((name) => directory.join(name));
    if (profiles === undefined || approvals === undefined || victim === undefined) throw new Error('three names');
    mkdirSync(profiles);
    mkdirSync(approvals, { mode: 0o750 });
    writeFileSync(victim, '');
    writeFileSync(`${profiles}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n');
    const settings = {
      AGENT3_TOKENS_FILE: directory.join('tokens.json'),
      AGENT3_PROFILES_DIR: profiles,
      AGENT3_APPROVALS_DIR: approvals,
    };
    await using agent = await startAgent(settings);
    const made = await agent3(['token', 'create', 'brief', '--profile', 'careful', '--expires', '6s'], settings);
    const call = (op: string, args: unknown) =>
      agent.request('/', {
        method: 'POST',
        headers: { 'x-auth-token': made.stdout.trim() },
        body: JSON.stringify({ op, args }),
      });
    const asked = (await call('shell', { cmd: `rm ${victim}` })).body;
    expect(asked.status).toBe('waiting');
    const owner = { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir };
    const [request] = JSON.parse((await agent3(['approval', 'list', '--json'], owner)).stdout);
    await eventually('it has ended', async () => (await call('server_info', {})).status === 403);
    const record = await eventually('it is decided', () => {
      const meta = JSON.parse(readFileSync(`${agent.sessionsDir}/${asked.session}/meta.json`, 'utf8'));
      return meta.status !== 'waiting' && meta;
    });
    expect(record).toMatchObject({ status: 'denied', exit_code: 126 });
    expect(record.decision.reason).toContain('its token has ended');
    const late = await agent3(['approval', 'approve', asked.session, '--digest', request.digest], owner);
    expect({ code: late.code, stderr: late.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('no request has this id'),
    });
    expect(existsSync(victim)).toBe(true);
  },
);

test('a call that is under way when its token ends says what was begun, and the record does not deny it', async () => {
  using directory = new TemporaryDirectory();
  const audit = directory.join('audit.jsonl');
  const settings = { AGENT3_TOKENS_FILE: directory.join('tokens.json') };
  await using agent = await startAgent({ ...settings, AGENT3_AUDIT_FILE: audit });
  const { stdout } = await agent3(['token', 'create', 'brief', '--profile', 'full'], settings);
  const call = (op: string, args: unknown) =>
    agent.request('/', {
      method: 'POST',
      headers: { 'x-auth-token': stdout.trim() },
      body: JSON.stringify({ op, args }),
    });
  using trigger = new Trigger();
  const { session } = (await call('shell', { cmd: `read x; ${trigger.wait}`, interactive: true, background: true }))
    .body;
  const cmd = `echo secret; ${trigger.arrive}; ${trigger.wait}; touch ${directory.join('ended')}`;
  const running = call('shell', { cmd });
  const typing = call('write_session', { session, input: 'x\n', wait: 40 });
  await trigger.arrived();
  await agent3(['token', 'revoke', 'brief'], settings);
  await eventually('the token has ended', async () => (await call('server_info', {})).status === 403);
  trigger.open();
  const [ran, typed] = [await running, await typing];
  expect(ran).toMatchObject({ status: 403, body: { error: 'Unauthorized' } });
  expect(ran.body.message).toMatch(
    /^This token has ended or was revoked, so the answer is withheld: its command was started and was not stopped \(session [0-9a-f-]{36}\)\. Ask/,
  );
  expect(ran.text).not.toContain('secret');
  expect(existsSync(directory.join('ended'))).toBe(true);
  expect(typed.body.message).toContain(': what write_session had begun was not undone');
  expect((await call('shell', { cmd: 'true' })).status).toBe(403);
  const lines = readFileSync(audit, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  // The token may end within a call that waits for its end.
  const refused = lines.flatMap(({ op, refused }) => (refused === undefined || op === 'server_info' ? [] : [refused]));
  expect(refused.sort()).toEqual([
    expect.stringContaining('its command was started'),
    expect.stringContaining('had begun was not undone'),
  ]);
});
