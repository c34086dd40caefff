import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3, agent3InTerminal } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const PROFILES = directory.join('profiles.d');
const APPROVALS = directory.join('approvals');
const TOKENS = directory.join('tokens.json');
mkdirSync(PROFILES);
mkdirSync(APPROVALS, { mode: 0o750 });
writeFileSync(
  `${PROFILES}/careful.toml`,
  `extends = "full"
[[rules]]
action = "deny"
command = "mkfs*"
reason = "disks are formatted by people"
[[rules]]
action = "confirm"
command = "rm"
`,
);

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const notices: { body: string; headers: Headers }[] = [];
let receiver: ReturnType<typeof Bun.serve>;
let agent: Agent;
const settings = { AGENT3_APPROVALS_DIR: APPROVALS };
const isRoot = process.geteuid?.() === 0;

beforeAll(async () => {
  receiver = Bun.serve({
    port: 0,
    fetch: async (request) => {
      notices.push({ body: await request.text(), headers: request.headers });
      // The first one is refused, and comes again.
      return new Response(null, { status: notices.length === 1 ? 500 : 204 });
    },
  });
  agent = await startAgent({
    ...settings,
    AGENT3_TOKENS_FILE: TOKENS,
    AGENT3_PROFILES_DIR: PROFILES,
    AGENT3_PROFILE: 'careful',
    AGENT3_NOTIFY_URL: `http://127.0.0.1:${receiver.port}/`,
    AGENT3_NOTIFY_SECRET: SECRET,
  });
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await receiver.stop(true);
  directory[Symbol.dispose]();
});

/** `agent3 approval watch` as it runs. */
function startWatch(env: Readonly<Record<string, string>>) {
  let shown = '';
  const child = Bun.spawn([BINARY, 'approval', 'watch'], {
    env: { ...BASE_ENVIRONMENT, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  void (async () => {
    for await (const bytes of child.stdout) shown += Buffer.from(bytes).toString();
  })();
  return {
    shows: (text: string) => eventually(`watch shows ${text}`, () => shown.includes(text)),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

type Fields = Record<string, unknown>;
const shell = async (args: Fields): Promise<Fields> => ({ ...(await agent.shell(args)) });
const read = async (session: unknown, more: Fields = {}): Promise<Fields> => ({
  ...(await agent.read({ session, ...more })),
});

describe('a command that rules deny', () => {
  test('is answered with the reason, and is not run', async () => {
    const answer = await shell({ cmd: 'touch /tmp/agent3-denied && mkfs.ext4 /dev/null' });
    expect(answer).toMatchObject({
      status: 'denied',
      exit_code: 126,
      stdout: '',
      stderr: 'agent3: not run: disks are formatted by people\n',
      message: expect.stringContaining('Nothing was run: disks are formatted by people (mkfs.ext4 /dev/null).'),
    });
    expect(readdirSync('/tmp')).not.toContain('agent3-denied');
    expect(await read(answer['session'])).toMatchObject({ status: 'denied', exit_code: 126, eof: true });
  });

  test('is not found by another way: none of its parts is run when one is denied', async () => {
    expect(await shell({ cmd: "echo a; sh -c 'mkfs /dev/null'" })).toMatchObject({ status: 'denied', stdout: '' });
  });

  test('what rules are not about is simply run', async () => {
    expect(await shell({ cmd: 'echo hi' })).toMatchObject({ status: 'done', stdout: 'hi\n' });
  });
});

describe.skipIf(!isRoot)('a command that needs approval', () => {
  const file = directory.join('victim');
  const ask = async (more: Fields = {}): Promise<string> => {
    writeFileSync(file, '');
    const answer = await shell({
      cmd: `rm ${file}; cat; echo $NAME; exit 3`,
      stdin: 'in',
      env: { NAME: 'x' },
      ...more,
    });
    expect(answer).toMatchObject({
      status: 'waiting',
      exit_code: null,
      reason: expect.stringContaining('rule 2: confirm command rm'),
      message: expect.stringContaining('a person has to approve this command, because rule 2: confirm command rm'),
    });
    return String(answer['session']);
  };
  const approvals = (...args: string[]) =>
    agent3(['approval', ...args], { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir });
  const listed = async () =>
    JSON.parse((await approvals('list', '--json')).stdout) as { session: string; digest: string }[];
  /** Approves what is listed under an id now. */
  const approve = async (id: string) => {
    const found = (await listed()).find(({ session }) => session === id);
    return approvals('approve', id, '--digest', found?.digest ?? '');
  };

  test('runs once it is approved, with all that was asked, and is followed by read_session', async () => {
    const session = await ask();
    expect(await read(session, { wait: 0.2 })).toMatchObject({ status: 'waiting', eof: false });
    const { stdout } = await approvals('list');
    for (const told of [
      session,
      `rm ${file}`,
      '1 │ NAME=x',
      'reads 1 line, 2 characters:\n  1 │ in\n',
      'default (careful)',
      `rm (rm ${file})`,
    ]) {
      expect(stdout).toContain(told);
    }
    const following = read(session, { wait: 10 });
    expect((await approve(session)).stdout).toBe('approved: it runs\n');
    await following;
    expect(await read(session, { wait: 10, offset: 1000 })).toMatchObject({ status: 'done', exit_code: 3 });
    expect((await read(session))['stdout']).toBe('inx\n');
    expect(await Bun.file(file).exists()).toBe(false);
    expect(readdirSync(`${agent.sessionsDir}/.approvals`)).toEqual([]);
  });

  test('is not run when it is denied, and the reason is told', async () => {
    const session = await ask();
    await approvals('deny', session.slice(0, 36), '--why', 'not before the backup');
    expect(await read(session, { wait: 5 })).toMatchObject({
      status: 'denied',
      exit_code: 126,
      message: expect.stringContaining('denied it: not before the backup'),
    });
    expect(await Bun.file(file).exists()).toBe(true);
    expect((await approve(session)).stderr).toContain('no request has this id');
  });

  test('is seen by watch, with what becomes of it', async () => {
    await using watch = startWatch({ ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir });
    const [refused, run] = [await ask(), await ask()];
    for (const session of [refused, run]) await watch.shows(`\u0007${session}`);
    await approvals('deny', refused, '--why', 'not today');
    await watch.shows(`${refused}  denied: `);
    await watch.shows('denied it: not today');
    await approve(run);
    await watch.shows(`${run}  runs: approved by `);
    // Its start goes to the disk first.
    expect(await read(run, { wait: 5, offset: 1000 })).toMatchObject({ status: 'done' });
  });

  test('is not run when what was shown is not what would run', async () => {
    const session = await ask();
    const path = `${agent.sessionsDir}/.approvals/${session}.json`;
    const request = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...request, cmd: 'ls' }));
    expect((await approvals('list')).stdout).toContain('1 │ ls\n');
    const { code, stderr } = await approve(session);
    const why = 'somebody has changed or removed the request on the disk of the server';
    // Either the agent has seen it already, or it sees it with the decision.
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`${why}|no request has this id`)),
    });
    expect(await read(session, { wait: 5 })).toMatchObject({
      status: 'denied',
      message: expect.stringMatching(new RegExp(`${why}\\. Tell the user, who has to look at the server`)),
    });
    expect(await Bun.file(file).exists()).toBe(true);
    await eventually('the owner is told', () =>
      notices.some(({ body }) => body.includes('approval.tampered') && body.includes(session)),
    );
    await agent.log.find('the log', (line) => line['session'] === session && String(line['msg']).includes(why));
  });

  test('is not left to wait for somebody who cannot see it: one that was removed from the disk is told', async () => {
    const session = await ask();
    rmSync(`${agent.sessionsDir}/.approvals/${session}.json`);
    expect(await read(session, { wait: 10 })).toMatchObject({
      status: 'denied',
      message: expect.stringContaining('somebody has changed or removed the request on the disk of the server'),
    });
    expect(await Bun.file(file).exists()).toBe(true);
  });

  test('whose directory is gone by then says so', async () => {
    const cwd = directory.join('gone');
    mkdirSync(cwd);
    const { session } = await shell({ cmd: 'rm f', cwd });
    rmSync(cwd, { recursive: true });
    await approve(String(session));
    const why = `it was approved, but could not be started: the directory ${cwd} does not exist any more`;
    expect(await read(session, { wait: 10 })).toMatchObject({
      status: 'denied',
      stderr: `agent3: not run: ${why}\n`,
      message: `Nothing was run: ${why}. Nobody has decided against it: if it is still needed, send the same call again.`,
    });
  });

  test('that was taken back is sent again with another key, and the answers say so', async () => {
    const session = await ask({ key: 'taken back' });
    await agent.call('kill_session', { session });
    const again = await shell({ cmd: 'rm x', key: 'taken back' });
    expect(again).toMatchObject({ session, status: 'denied' });
    expect(again['message']).toContain('send the same call again, with another key.');
    await agent.call('close_session', { session });
    const { status, body } = await agent.call('shell', { cmd: 'rm x', key: 'taken back' });
    expect({ status, message: body.message }).toEqual({
      status: 404,
      message: expect.stringContaining('The call with this key was not run and its session was closed'),
    });
  });

  test('is not run by a decision that the agent has not taken in time: it is taken back', async () => {
    const session = await ask();
    process.kill(agent.pid, 'SIGSTOP');
    try {
      const { code, stderr } = await approve(session);
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(
          'so it was withdrawn and nothing is decided: it does not run, or never asked for this (agent3 doctor)',
        ),
      });
      expect(existsSync(`${APPROVALS}/${session}.json`)).toBe(false);
    } finally {
      process.kill(agent.pid, 'SIGCONT');
    }
    expect(await read(session, { wait: 2.5 })).toMatchObject({ status: 'waiting' });
    expect((await approvals('deny', session)).stdout).toBe('denied\n');
  });

  test('is not run by an id alone: what waits under it may be another than what was seen', async () => {
    const seen = await ask();
    const [{ digest } = { digest: '' }] = await listed();
    await agent.call('kill_session', { session: seen });
    const other = await ask({ cmd: `rm ${file} # another` });
    const blind = await approvals('approve', seen.slice(0, 8));
    expect({ code: blind.code, stderr: blind.stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining('there is no terminal to ask on. Give --digest'),
    });
    expect((await approvals('approve', other, '--digest', digest)).stderr).toContain('the request has another digest');
    expect(await read(other)).toMatchObject({ status: 'waiting' });
    await approvals('deny', other);
  });

  test('is not said to be missing where no agent keeps its sessions', async () => {
    for (const args of [['list'], ['list', '--json'], ['deny', '01a2']])
      expect(await agent3(['approval', ...args], { ...settings, AGENT3_SESSIONS_DIR: '/none' })).toEqual({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining('/none does not exist: run this where the agent was started'),
      });
  });

  test('is shown once more on a terminal, and asked about', async () => {
    const session = await ask();
    const type = (answer: string) =>
      agent3InTerminal(['approval', 'approve', session], answer, {
        ...settings,
        AGENT3_SESSIONS_DIR: agent.sessionsDir,
      });
    expect(await type('n')).toContain('nothing was decided');
    expect(await read(session)).toMatchObject({ status: 'waiting' });
    const shown = await type('y');
    expect(shown).toContain(`1 │ rm ${file}; cat; echo $NAME; exit 3`);
    expect(shown).toContain('Run this command (1 line, ');
    expect(shown).toContain('; 1 variable; input of 1 line, 2 characters)? [y/N]');
    expect(shown).toContain('approved: it runs');
    expect(await read(session, { wait: 10, offset: 1000 })).toMatchObject({ status: 'done', exit_code: 3 });
  });

  test('is not said to run to somebody who decides when another has already', async () => {
    const session = await ask();
    const late = agent3InTerminal(
      ['approval', 'approve', session],
      'y',
      {
        ...settings,
        AGENT3_SESSIONS_DIR: agent.sessionsDir,
      },
      () => approvals('deny', session, '--why', 'no'),
    );
    expect(await late).toContain('it no longer waits');
  });

  test('runs in the directory that was shown, or not at all', async () => {
    const [good, bad, link] = ['good', 'bad', 'link'].map((name) => directory.join(name)) as [string, string, string];
    for (const path of [good, bad]) {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'f'), '');
    }
    symlinkSync(good, link);
    const { session } = await shell({ cmd: 'rm f', cwd: link });
    expect((await approvals('list')).stdout).toContain(`in ${good},`);
    rmSync(link);
    symlinkSync(bad, link);
    await approve(String(session));
    expect(await read(session, { wait: 10 })).toMatchObject({ status: 'done' });
    expect([existsSync(join(good, 'f')), existsSync(join(bad, 'f'))]).toEqual([false, true]);
    const { session: next } = await shell({ cmd: 'rm f', cwd: good });
    renameSync(good, `${good}-away`);
    symlinkSync(bad, good);
    await approve(String(next));
    expect(await read(next, { wait: 10 })).toMatchObject({ status: 'denied' });
    expect(existsSync(join(bad, 'f'))).toBe(true);
  });

  /** What becomes of a command that is sent; one that then waits is taken back. */
  const outcomeOf = async (cmd: string): Promise<unknown> => {
    const { status, session } = await shell({ cmd });
    if (status === 'waiting') await agent.call('kill_session', { session });
    return status;
  };

  test('is taken back when its profile was changed meanwhile', async () => {
    const session = await ask();
    const path = `${PROFILES}/careful.toml`;
    const before = readFileSync(path, 'utf8');
    writeFileSync(path, before.replace('"confirm"', '"deny"'));
    await eventually('the change is seen', async () => (await outcomeOf('rm x')) === 'denied');
    // Nobody is bothered with what would not be run anyway.
    expect(await read(session, { wait: 10 })).toMatchObject({
      status: 'denied',
      message: expect.stringMatching(
        /and the profile of its token was changed\. Nobody has decided against it: .* send the same call again\.$/,
      ),
    });
    expect((await approve(session)).stderr).toContain('no request has this id');
    expect(await Bun.file(file).exists()).toBe(true);
    writeFileSync(path, before);
    await eventually('it is as before', async () => (await outcomeOf('rm x')) === 'waiting');
  });

  test('of one token, leaves room for those of others', async () => {
    const sessions: string[] = [];
    for (;;) {
      const { status, body } = await agent.call('shell', { cmd: 'rm x' });
      if (status !== 200) {
        expect({ status, body }).toMatchObject({
          status: 429,
          body: { message: expect.stringContaining('16 of them of this token') },
        });
        break;
      }
      sessions.push(body.session);
    }
    expect(sessions).toHaveLength(16);
    for (const session of sessions) await agent.call('kill_session', { session });
  });

  test('is not run for a decision that is not of root, or in a directory of others', async () => {
    const session = await ask();
    const decision = `${APPROVALS}/${session}.json`;
    const request = JSON.parse(readFileSync(`${agent.sessionsDir}/.approvals/${session}.json`, 'utf8'));
    const { digestOf } = await import('../../../src/access/approval-request.ts');
    const elsewhere = directory.join('decision');
    writeFileSync(
      elsewhere,
      JSON.stringify({ session, digest: digestOf(request), verdict: 'approve', why: '', by: 'x' }),
    );
    chownSync(elsewhere, 65_534, 65_534);
    renameSync(elsewhere, decision);
    // Nothing may come of it: a look at the clock is all there is.
    expect(await read(session, { wait: 2.5 })).toMatchObject({ status: 'waiting' });
    chmodSync(APPROVALS, 0o777);
    chownSync(decision, 0, 0);
    expect(await read(session, { wait: 2.5 })).toMatchObject({ status: 'waiting' });
    chmodSync(APPROVALS, 0o750);
    expect(await read(session, { wait: 10 })).toMatchObject({ status: expect.stringMatching(/running|done/) });
  });

  test('is waited for by agent3 exec, which says so', async () => {
    const remote = { AGENT3_URL: agent.url, AGENT3_API_TOKEN: agent.token };
    const run = agent3(['exec', `rm ${directory.join('none')}`], remote);
    await eventually('it waits', async () => (await listed()).length === 1);
    await approve((await listed())[0]?.session ?? '');
    const { code, stderr } = await run;
    expect(code).toBe(1);
    expect(stderr).toContain('waiting for approval: rule 2: confirm command rm');
    expect(stderr).toContain('No such file');
  });

  test('ends with its token, and agent3 exec does not say that it continues', async () => {
    const access = { AGENT3_TOKENS_FILE: TOKENS, AGENT3_PROFILES_DIR: PROFILES };
    const { stdout } = await agent3(['token', 'create', 'leaving', '--profile', 'careful'], access);
    const remote = { AGENT3_URL: agent.url, AGENT3_API_TOKEN: stdout.trim() };
    const run = agent3(['exec', `rm ${directory.join('none')}`], remote);
    await eventually('it waits', async () => (await listed()).length === 1);
    await agent3(['token', 'revoke', 'leaving'], access);
    const { code, stderr } = await run;
    expect(code).toBe(255);
    expect(stderr).toContain('This token has ended or was revoked');
    expect(stderr).toContain('A command that still waited for approval was not run');
    expect(stderr).not.toContain('the command continues');
    await eventually('nobody is asked any more', async () => (await listed()).length === 0);
  });

  test('is taken back by kill_session and close_session', async () => {
    const first = await ask();
    expect((await agent.call('kill_session', { session: first })).body).toMatchObject({
      message: expect.stringContaining('The request for approval was withdrawn'),
    });
    expect(await read(first)).toMatchObject({ status: 'denied' });
    const second = await ask();
    expect((await agent.call('close_session', { session: second })).body).toMatchObject({ status: 'closed' });
    expect((await approvals('list')).stdout).toBe('');
  });

  test('a repeat with its key does not ask again', async () => {
    const session = await ask({ key: 'once' });
    expect(await ask({ key: 'once' })).toBe(session);
    expect(JSON.parse((await approvals('list', '--json')).stdout)).toHaveLength(1);
    await approvals('deny', session);
  });

  test('hides nothing from the terminal of the one who decides', async () => {
    const { session } = await shell({ cmd: 'rm x # \u001b[2K\rls \u202e' });
    expect((await approvals('list')).stdout).toContain('1 │ rm x # \\u{1b}[2K\\u{d}ls \\u{202e}\n');
    await approvals('deny', String(session));
  });

  test('is told to the owner, signed', async () => {
    // What looks like a key without an end hides nothing of the command behind it.
    const cmd = "rm told --password hunter22; echo '-----BEGIN PRIVATE KEY-----'; rm all";
    // Nor does what nobody sees.
    const { session } = await shell({ cmd: `${cmd}\u202e\u2800` });
    await approvals('deny', String(session), '--why', 'no');
    const ofSession = () => notices.map(({ body }) => JSON.parse(body)).filter(({ data }) => data.session === session);
    await eventually('both notices came', () => ofSession().length === 2);
    expect(
      ofSession()
        .map(({ type }) => type)
        .sort(),
    ).toEqual(['approval.asked', 'approval.denied']);
    expect(notices.length).toBeGreaterThan(2);
    for (const { body, headers } of notices) {
      expect(new Webhook(SECRET).verify(body, headers.toJSON())).toEqual(JSON.parse(body));
      expect(body).not.toContain('hunter22');
    }
    expect(ofSession()[0].data).toMatchObject({ cmd: `${cmd.replace('hunter22', '‹password›')}\\u{202e}\\u{2800}` });
    const [first, second] = notices.filter(
      ({ headers: h }) => h.get('webhook-id') === notices[0]?.headers.get('webhook-id'),
    );
    expect(second?.body).toBe(first?.body ?? '');
  });

  test('is told to the owner, signed with a secret that is no Base64', async () => {
    const secret = 'a-secret-of-24-characters';
    await using other = await startAgent({
      ...settings,
      AGENT3_PROFILES_DIR: PROFILES,
      AGENT3_PROFILE: 'careful',
      AGENT3_NOTIFY_URL: `http://127.0.0.1:${receiver.port}/`,
      AGENT3_NOTIFY_SECRET: secret,
    });
    const { session } = await other.shell({ cmd: 'rm other', env: { A: 'b' }, stdin: 'in' });
    const ofOther = () => notices.find(({ body }) => body.includes(session));
    await eventually('the notice came', () => ofOther() !== undefined);
    const { body, headers } = ofOther() ?? { body: '', headers: new Headers() };
    expect(new Webhook(secret, { format: 'raw' }).verify(body, headers.toJSON())).toEqual(JSON.parse(body));
    // All that the digest binds is shown: an owner who has read it can decide.
    expect(JSON.parse(body).data).toMatchObject({
      cmd: 'rm other',
      env: ['A=b'],
      stdin: 'in',
      approve: expect.stringMatching(/^agent3 approval approve \S+ --digest [0-9a-f]{64}$/),
    });
    const { session: long } = await other.shell({ cmd: `rm other # ${'x'.repeat(3000)}` });
    const ofLong = () => notices.find(({ body: text }) => text.includes(long));
    await eventually('the notice of a long one came', () => ofLong() !== undefined);
    expect(JSON.parse(ofLong()?.body ?? '{}').data).toMatchObject({
      not_shown: expect.stringMatching(/To see all of it: agent3 approval show \S+$/),
      approve: `agent3 approval approve ${long}`,
    });
  });

  test('ends with the agent, and its session says so', async () => {
    await using other = await startAgent({ ...settings, AGENT3_PROFILES_DIR: PROFILES, AGENT3_PROFILE: 'careful' });
    const first = await other.shell({ cmd: 'rm x' });
    await other.restart();
    const second = await other.shell({ cmd: 'rm x' });
    expect({ ...(await other.read({ session: first.session })) }).toMatchObject({
      status: 'denied',
      message: expect.stringMatching(
        /the agent was stopped meanwhile\. Nobody has decided against it: .* send the same/,
      ),
    });
    await other.kill9();
    await other.restart();
    expect({ ...(await other.read({ session: second.session })) }).toMatchObject({
      status: 'denied',
      exit_code: 126,
      stderr: 'agent3: not run: the agent was restarted while it waited for approval\n',
      message:
        'Nothing was run: the agent was restarted while it waited for approval. Nobody has decided against it: if it is still needed, send the same call again.',
    });
    expect(readdirSync(`${other.sessionsDir}/.approvals`)).toEqual([]);
  });
});

test('where nobody can be asked, what needs approval is denied, with the reason', async () => {
  await using lonely = await startAgent({ AGENT3_PROFILES_DIR: PROFILES, AGENT3_PROFILE: 'careful' });
  expect({ ...(await lonely.shell({ cmd: 'rm x' })) }).toMatchObject({
    status: 'denied',
    message: expect.stringContaining('AGENT3_APPROVALS_DIR is not set'),
  });
});

describe('agent3 profile explain', () => {
  const rows: readonly [cmd: string, told: string][] = [
    ['ls', 'allow: no rule is against it\n'],
    ['ls; mkfs.xfs x', 'deny: disks are formatted by people (mkfs.xfs x)\n'],
    ['rm x', 'confirm: rule 2: confirm command rm (rm x)\n'],
  ];
  test.each(rows)('%s', async (cmd, told) => {
    expect((await agent3(['profile', 'explain', 'careful', cmd, '--dir', PROFILES])).stdout).toBe(told);
  });

  test('takes commands on standard input, a line each, and answers each with a line of JSON', async () => {
    const child = Bun.spawn([BINARY, 'profile', 'explain', 'careful', '--dir', PROFILES], {
      env: BASE_ENVIRONMENT,
      stdin: new Blob(['ls\n\nrm x\nls; mkfs.xfs x']),
    });
    const lines = (await child.stdout.text()).trimEnd().split('\n');
    const none = { action: 'allow', reason: 'no rule is against it', part: '', rule: null };
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      none,
      none,
      { action: 'confirm', reason: 'rule 2: confirm command rm', part: 'rm x', rule: 2 },
      { action: 'deny', reason: 'disks are formatted by people', part: 'mkfs.xfs x', rule: 1 },
    ]);
    expect(await child.exited).toBe(0);
  });
});
