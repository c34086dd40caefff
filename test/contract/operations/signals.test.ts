import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
if (isRoot) ensurePrograms('bwrap');

/** What is between the agent and a command: nothing, another user, a sandbox, limits, and all of them. */
const PROFILES: Readonly<Record<string, string>> = {
  plain: 'extends = "full"',
  limited: 'extends = "full"\nlimits = { file_mib = 8, core_mib = 0 }',
  ...(isRoot && { other: 'extends = "full"\nuser = "nobody"' }),
  boxed: 'extends = "readonly"',
  ...(isRoot && { all: 'extends = "readonly"\nuser = "nobody"\nlimits = { file_mib = 8 }' }),
};

/** Starts a command that outlives the call, and returns its session once it has said `ready`. */
async function ready(agent: Agent, args: Readonly<Record<string, unknown>>): Promise<string> {
  const { session } = await agent.shell({ background: true, ...args });
  await eventually('it is ready', async () => {
    const now = await agent.read({ session });
    if (now.status !== 'running') throw new Error(`it has ended: ${JSON.stringify(now)}`);
    return now.stdout.includes('ready');
  });
  return session;
}

async function ended(agent: Agent, session: string): Promise<Answer> {
  return await eventually('its end', async () => {
    const now = await agent.read({ session });
    return now.status !== 'running' && now;
  });
}

const WAYS = [{}, { interactive: true }, { pty: true }, { key: 'of-signals' }] as const;
const SIGNALS = ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2'] as const;

/** Prints each signal that it takes, and ends by `exit 7` at the third. */
const TAKES = `n=0; told() { echo "$1"; n=$((n + 1)); [ $n -lt 3 ] || exit 7; }
for s in ${SIGNALS.join(' ')}; do trap "told $s" $s; done
echo ready; while :; do sleep 0.05; done`;

describe.each(Object.keys(PROFILES))(
  'a signal reaches the command and nothing in front of it, with the profile %s',
  (profile) => {
    const directory = new TemporaryDirectory();
    let agent: Agent;

    beforeAll(async () => {
      for (const [name, text] of Object.entries(PROFILES)) writeFileSync(directory.join(`${name}.toml`), text);
      agent = await startAgent({ AGENT3_PROFILES_DIR: directory.path, AGENT3_PROFILE: profile });
    });
    afterAll(async () => {
      await agent[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    });

    test.concurrent.each(WAYS)('%j', async (way) => {
      const given = 'key' in way ? { key: crypto.randomUUID() } : way;
      for (const signals of [SIGNALS.slice(0, 3), SIGNALS.slice(3)]) {
        const session = await ready(agent, {
          cmd: TAKES,
          ...given,
          ...('key' in given && { key: crypto.randomUUID() }),
        });
        for (const [index, signal] of signals.entries()) {
          const { body } = await agent.call('kill_session', { session, signal });
          // The shell, and the sleep that it waits for.
          expect((body as unknown as { signalled: number }).signalled).toBeWithin(1, 3);
          await eventually('it tells', async () => (await agent.read({ session })).stdout.includes(signal));
          if (index < 2) expect((await agent.read({ session })).status).toBe('running');
        }
        expect(await ended(agent, session)).toMatchObject({ status: 'done', exit_code: 7 });
      }
    });

    test.concurrent('one that the command ignores changes nothing', async () => {
      const session = await ready(agent, { cmd: "trap '' HUP USR1; echo ready; sleep 1; exit 4", pty: true });
      for (const signal of ['HUP', 'USR1', 'STOP', 'CONT']) await agent.call('kill_session', { session, signal });
      expect(await ended(agent, session)).toMatchObject({ status: 'done', exit_code: 4 });
    });

    test.concurrent('one that comes before the command has begun is sent when it has', async () => {
      for (let count = 0; count < 5; count++) {
        const { session } = await agent.shell({ cmd: 'sleep 300', background: true });
        const { body } = await agent.call('kill_session', { session });
        expect(body).toMatchObject({ status: 'killed', exit_code: 143 });
      }
    });

    test.concurrent('one that it does not take ends it, and KILL does for sure', async () => {
      for (const [signal, exit_code] of [
        ['TERM', 143],
        ['USR1', 138],
        ['KILL', 137],
      ] as const) {
        const session = await ready(agent, { cmd: 'echo ready; sleep 300; true', interactive: true });
        await agent.call('kill_session', { session, signal });
        expect(await ended(agent, session)).toMatchObject({ status: signal === 'USR1' ? 'done' : 'killed', exit_code });
      }
    });
  },
);

test('USR1 reaches the program that takes it, and does not end the shell that waits for it', async () => {
  await using agent = await startAgent();
  const cmd =
    "echo ready; perl -e '$| = 1; $SIG{USR1} = sub { print qq(told\\n) }; print qq(up\\n); sleep 1 for 1..200'; exit 6";
  const session = await ready(agent, { cmd });
  await eventually('it is up', async () => (await agent.read({ session })).stdout.includes('up'));
  await agent.call('kill_session', { session, signal: 'USR1' });
  await eventually('it tells', async () => (await agent.read({ session })).stdout.includes('told'));
  expect(await agent.read({ session })).toMatchObject({ status: 'running', stderr: '' });
});

test('a signal reaches a command that outlived its agent, and its exit code is its own', async () => {
  await using agent = await startAgent();
  const told = await ready(agent, { cmd: TAKES });
  const deaf = await ready(agent, { cmd: 'echo ready; sleep 300' });
  await agent.kill9();
  await agent.restart();
  for (const signal of ['HUP', 'TERM', 'INT']) {
    await agent.call('kill_session', { session: told, signal });
    await eventually('it tells', async () => (await agent.read({ session: told })).stdout.includes(signal));
  }
  expect(await ended(agent, told)).toMatchObject({ status: 'done', exit_code: 7, stdout: 'ready\nHUP\nTERM\nINT\n' });
  await agent.call('kill_session', { session: deaf });
  expect(await ended(agent, deaf)).toMatchObject({ status: 'killed', exit_code: 143 });
});
