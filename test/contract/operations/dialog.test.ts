import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { linesOf } from '../../helpers/record.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const [RECORD, APPROVALS, PROFILES] = ['audit.log', 'approvals', 'profiles.d'].map((name) => directory.join(name)) as [
  string,
  string,
  string,
];
mkdirSync(APPROVALS, { mode: 0o750 });
mkdirSync(PROFILES);
writeFileSync(`${PROFILES}/careful.toml`, 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n');
const settings = {
  AGENT3_AUDIT_FILE: RECORD,
  AGENT3_APPROVALS_DIR: APPROVALS,
  AGENT3_PROFILES_DIR: PROFILES,
  AGENT3_TOKENS_FILE: directory.join('tokens.json'),
};
const careful = (await agent3(['token', 'create', 'careful', '--profile', 'careful'], settings)).stdout.trim();
const agent = await startAgent(settings);
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

type Spoken = Answer & { readonly dialog_ms?: readonly number[] };
const shell = async (args: Readonly<Record<string, unknown>>): Promise<Spoken> => (await agent.shell(args)) as Spoken;
/** Asks for a name, shows it, and for a password, which it does not show. */
const LOGIN = `read -rp $'\\033[1mName:\\033[0m ' name; read -rsp 'Password: ' p; echo
printf '%s has %s\\n' "$name" "$(printf %s "$p" | sha256sum | cut -c1-8)"`;
const PASSWORD = 'tr0ub4dor&3';
const HASH = new Bun.CryptoHasher('sha256').update(PASSWORD).digest('hex').slice(0, 8);
const STEPS = [
  { expect: '^Name: $', send: 'joe\n' },
  { expect: '(?i)password:', send: `${PASSWORD}\n` },
];

describe('a dialog', () => {
  test('types each answer when its pattern has come, in one call, and says how long that took', async () => {
    const answer = await shell({ cmd: LOGIN, pty: true, dialog: STEPS });
    expect(answer).toMatchObject({ exit_code: 0, stdout: `Name: joe\nPassword: \njoe has ${HASH}\n` });
    expect(answer.dialog_ms).toEqual([expect.any(Number), expect.any(Number)]);
    expect(answer.message).toBeUndefined();
  });

  test('leaves nothing of what is typed unseen in answer, log, record and session', async () => {
    const secret = `unseen-${crypto.randomUUID()}`;
    const dialog = [STEPS[0], { expect: 'word:', send: `${secret}\n` }];
    const answer = await shell({ cmd: LOGIN, pty: true, dialog });
    await agent.read({ session: answer.session });
    const started = await eventually('it is on record', () =>
      linesOf(RECORD).findLast(({ event, session }) => event === 'start' && session === answer.session),
    );
    expect(started['dialog']).toEqual([
      { expect: '^Name: $', send_bytes: 4 },
      { expect: 'word:', send_bytes: secret.length + 1 },
    ]);
    const hash = new Bun.CryptoHasher('sha256').update(`${secret}\n`).digest('hex');
    const meta = readFileSync(`${agent.sessionsDir}/${answer.session}/meta.json`, 'utf8');
    for (const text of [JSON.stringify(answer), readFileSync(RECORD, 'utf8'), JSON.stringify(agent.logs), meta])
      expect(text).not.toMatch(new RegExp(`${secret}|${hash}`));
  });

  test('is held with an open input as well, also where a program asks on its error stream', async () => {
    const cmd = 'echo -n "go on? " >&2; read -r answer; echo "you said $answer"; cat';
    const answer = await shell({ cmd, interactive: true, dialog: [{ expect: 'go on\\?', send: 'yes\n' }] });
    expect(answer).toMatchObject({ status: 'running', stdout: 'you said yes\n', stderr: 'go on? ' });
    expect(answer.message).toContain('waits for input');
  });

  test('sees what a step before has left, and not what it has taken', async () => {
    const cmd = 'echo one two; read -r a; echo "one $a"; read -r b; echo "$a$b"';
    const dialog = ['one', 'two', 'one'].map((word, index) => ({
      expect: `${word}\\b`,
      send: index === 1 ? '' : `${index}\n`,
    }));
    const answer = await shell({ cmd: `stty -echo; ${cmd}`, pty: true, dialog });
    expect(answer.dialog_ms).toHaveLength(3);
    await eventually('it has read all', async () => {
      return (await agent.read({ session: answer.session })).stdout === 'one two\none 0\n02\n';
    });
  });

  test('ends the call where a pattern does not come, with what was shown; the program still waits', async () => {
    const answer = await shell({ cmd: LOGIN, pty: true, dialog: [STEPS[0], { expect: 'Passphrase', send: 'x\n' }] });
    expect(answer).toMatchObject({ status: 'running', stdout: 'Name: joe\nPassword: ' });
    expect(answer.dialog_ms).toHaveLength(1);
    expect(answer.message).toStartWith(
      'The command runs, up to 3600 s. The dialog ended at step 2 of 2, "Passphrase": the command did not write that. The command still runs: type with write_session, or stop it with kill_session.',
    );
    const { body } = await agent.call('write_session', { session: answer.session, input: `${PASSWORD}\n`, wait: 40 });
    expect(body.stdout).toContain(`joe has ${HASH}`);
    // What became of the dialog was said once.
    expect(body.message).toBeUndefined();
    expect((await agent.read({ session: answer.session })).message).toBeUndefined();
  });

  test('ends with its command', async () => {
    const answer = await shell({ cmd: 'echo bye; exit 3', pty: true, dialog: [{ expect: 'never', send: 'x' }] });
    expect(answer).toMatchObject({ exit_code: 3, stdout: 'bye\n' });
    expect(answer.message).toContain('"never": the command ended before it wrote that.');
    expect(answer.message).not.toContain('still runs');
  });

  test('holds nobody up, whatever its pattern', async () => {
    const cmd = `stty -echo; printf '${'ab'.repeat(2000)}'; read -r x`;
    const slow = shell({
      cmd,
      pty: true,
      dialog: [{ expect: '(?:(?:[ab]+)+[ab]*)*\\1?c$', send: 'x\n' }],
      timeout: 30,
    });
    for (let count = 0; count < 10; count++) expect((await shell({ cmd: 'echo hi' })).stdout).toBe('hi\n');
    const answer = await slow;
    expect(answer.dialog_ms).toEqual([]);
    expect(answer.message).toMatch(/did not write that|takes too long to match/);
    await agent.call('kill_session', { session: answer.session, signal: 'KILL' });
  });

  test('works with programs that take the terminal', async () => {
    const cmd = `python3 -q -c 'import getpass; print("ok" if getpass.getpass("Secret? ") == "quiet" else "no")'`;
    expect(await shell({ cmd, pty: true, dialog: [{ expect: 'Secret\\? $', send: 'quiet\n' }] })).toMatchObject({
      stdout: 'Secret? \nok\n',
    });
  });

  test('types into a terminal once it is read, however late its program hides what is typed', async () => {
    const secret = `late-${crypto.randomUUID()}`;
    const cmd = 'printf "pw: "; sleep 3; stty -echo; read -r x; echo; printf %s "$x" | wc -c';
    const answer = await shell({ cmd, pty: true, dialog: [{ expect: 'pw: $', send: `${secret}\n` }] });
    expect(answer).toMatchObject({ exit_code: 0, stdout: `pw: \n${secret.length}\n` });
  });

  test('types nothing where nobody has read the terminal when the answer is due, and says so', async () => {
    const dialog = [{ expect: 'pw: $', send: 'hidden\n' }];
    await using hasty = await startAgent({ AGENT3_REPLY_SECONDS: '3' });
    const answer = await hasty.shell({ cmd: 'printf "pw: "; sleep 60; cat', pty: true, dialog, timeout: 90 });
    expect(answer).toMatchObject({ status: 'running', stdout: 'pw: ' });
    expect(answer.message).toContain('"pw: $": nobody read the terminal, which may show what is typed.');
  });

  test('is refused where it cannot be held, without a word of what it would type', async () => {
    const refused = async (args: Readonly<Record<string, unknown>>, message: RegExp): Promise<void> => {
      const reply = await agent.call('shell', { cmd: 'cat', pty: true, ...args });
      expectRefusal(reply, 400, 'Invalid args', message);
      expect(reply.text).not.toContain('hush');
    };
    await refused({ pty: false, dialog: STEPS }, /dialog needs pty: true .* or interactive: true/);
    await refused({ dialog: [{ expect: '(', send: 'hush' }] }, /^dialog\[0\]\.expect is not a regular expression/);
    await refused({ dialog: 'hush' }, /dialog must be a list/);
    await refused({ dialog: ['hush'] }, /dialog\[0\] must have expect/);
    await refused({ dialog: [{ expect: 'x', send: ['hush'] }] }, /dialog\[0\] must have expect/);
    await refused({ dialog: [{ expect: 'x', send: 'hush'.repeat(2000) }] }, /dialog\[0\] must have expect/);
    await refused({ dialog: Array(51).fill({ expect: 'x', send: 'hush' }) }, /dialog must have 1 to 50 steps, not 51/);
    expect(readFileSync(RECORD, 'utf8')).not.toContain('hush');
  });

  test('is held through every door', async () => {
    await using mcp = await McpClient.overHttp(agent);
    const result = await mcp.call('shell', { cmd: LOGIN, pty: true, dialog: STEPS });
    expect(result.texts[0]).toBe(`Name: joe\nPassword: \njoe has ${HASH}\n`);
    // Of a call that takes a second, as on a busy machine, the answer says how long it took as well.
    expect(result.texts).toHaveLength(2);
    const { duration_ms: _duration, ...more } = JSON.parse(result.texts[1] ?? '');
    expect(more).toEqual({ dialog_ms: [expect.any(Number), expect.any(Number)] });
    const flat = await agent.request('/shell', {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.token}` },
      // A number that is to be typed.
      body: JSON.stringify({
        cmd: 'read -rsp "PIN: " pin; printf %s "$pin" | wc -c',
        pty: true,
        dialog: [{ expect: 'PIN', send: 1234 }],
      }),
    });
    expect(flat.body).toMatchObject({ status: 'running', dialog_ms: [expect.any(Number)] });
    // The next answer of such a door does not say it again.
    const again = await mcp.call('read_session', { session: flat.body.session });
    expect(again.texts.join()).not.toContain('dialog_ms');
    await agent.call('write_session', { session: flat.body.session, input: '\n' });
    await eventually(
      'it was typed',
      async () => (await agent.read({ session: flat.body.session })).stdout === 'PIN: 4\n',
    );
  });
});

describe.skipIf(process.geteuid?.() !== 0)('a dialog that a person approves', () => {
  test('is shown with all that it types, is in the digest, and is held once it is approved', async () => {
    const post = async (op: string, args: unknown): Promise<Spoken> =>
      (await (
        await fetch(`${agent.url}/`, {
          method: 'POST',
          headers: { 'x-auth-token': careful },
          body: JSON.stringify({ op, args }),
        })
      ).json()) as Spoken;
    const ask = (send: string) =>
      post('shell', { cmd: `rm -f /nonexistent; ${LOGIN}`, pty: true, dialog: [{ expect: 'Name', send }, STEPS[1]] });
    const approval = (...args: string[]) =>
      agent3(['approval', ...args], { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir });
    const { session, status } = await ask('ann\n');
    expect(status).toBe('waiting');
    const { stdout: shown } = await approval('show', session);
    for (const text of [
      'step 1 of 2: when it writes Name',
      'ann',
      'step 2 of 2: when it writes (?i)password:',
      PASSWORD,
    ])
      expect(shown).toContain(text);
    const { session: other } = await ask('eve\n');
    const digest = /digest ([0-9a-f]{64})/.exec(shown)?.[1] ?? '';
    expect((await approval('approve', other, '--digest', digest)).code).not.toBe(0);
    await approval('approve', session, '--digest', digest);
    await eventually('it has spoken', async () =>
      (await post('read_session', { session })).stdout.includes(`ann has ${HASH}`),
    );
    const done = await post('read_session', { session, wait: 5 });
    expect(done).toMatchObject({ status: 'done', exit_code: 0, dialog_ms: [expect.any(Number), expect.any(Number)] });
    await post('kill_session', { session: other });
  });
});
