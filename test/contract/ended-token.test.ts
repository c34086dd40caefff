import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startAgent } from '../helpers/agent.ts';
import { agent3 } from '../helpers/cli.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { eventually } from '../helpers/waiting.ts';

test.skipIf(process.geteuid?.() !== 0)(
  'what waits for approval is not run after the end of its token, whoever approves it',
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
    const made = await agent3(['token', 'create', 'brief', '--profile', 'careful', '--expires', '3s'], settings);
    const call = (op: string, args: unknown) =>
      agent.request('/', {
        method: 'POST',
        headers: { 'x-auth-token': made.stdout.trim() },
        body: JSON.stringify({ op, args }),
      });
    const asked = (await call('shell', { cmd: `rm ${victim}` })).body;
    expect(asked.status).toBe('waiting');
    const owner = { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir };
    const [request] = JSON.parse((await agent3(['approvals', '--json'], owner)).stdout);
    await eventually('it has ended', async () => (await call('server_info', {})).status === 403);
    const record = await eventually('it is decided', () => {
      const meta = JSON.parse(readFileSync(`${agent.sessionsDir}/${asked.session}/meta.json`, 'utf8'));
      return meta.status !== 'waiting' && meta;
    });
    expect(record).toMatchObject({ status: 'denied', exit_code: 126 });
    expect(record.decision.reason).toContain('its token has ended');
    const late = await agent3(['approvals', 'approve', asked.session, '--digest', request.digest], owner);
    expect({ code: late.code, stderr: late.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('nothing that waits has this id'),
    });
    expect(existsSync(victim)).toBe(true);
  },
);
