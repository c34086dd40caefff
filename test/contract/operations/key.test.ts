import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { Trigger } from '../../helpers/trigger.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

/** A command that leaves a trace of each run, and how often it ran. */
class Traced implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly cmd = `echo ran >> ${this.#directory.join('runs')}; echo output`;

  get runs(): number {
    return readFileSync(this.#directory.join('runs'), 'utf8').split('\n').length - 1;
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

const newKey = () => crypto.randomUUID();

describe('a call repeated with its key', () => {
  test.concurrent('runs once and is answered the same', async () => {
    using traced = new Traced();
    const args = { cmd: traced.cmd, key: newKey() };
    const [first, second] = [await agent.shell(args), await agent.shell(args)];
    expect(second).toMatchObject({ session: first.session, stdout: 'output\n', exit_code: 0, status: 'done' });
    expect(first).not.toHaveProperty('repeat');
    expect(second).toHaveProperty('repeat', true);
    expect(traced.runs).toBe(1);
  });

  test.concurrent('while the first still runs waits for it', async () => {
    using traced = new Traced();
    using trigger = new Trigger();
    const args = { cmd: `${trigger.arrive}; ${trigger.wait}; ${traced.cmd}`, key: newKey() };
    const first = agent.shell(args);
    await trigger.arrived();
    const second = agent.shell(args);
    trigger.open();
    const answers = await Promise.all([first, second]);
    expect(answers.map(({ stdout, status }) => ({ stdout, status }))).toEqual([
      { stdout: 'output\n', status: 'done' },
      { stdout: 'output\n', status: 'done' },
    ]);
    expect(answers[1].session).toBe(answers[0].session);
    expect(traced.runs).toBe(1);
  });

  test.concurrent('ten times at once runs once', async () => {
    using traced = new Traced();
    const args = { cmd: traced.cmd, key: newKey() };
    const answers = await Promise.all(Array.from({ length: 10 }, () => agent.shell(args)));
    expect(new Set(answers.map((answer) => answer.session)).size).toBe(1);
    expect(traced.runs).toBe(1);
  });

  test.concurrent('runs nothing even where the command differs', async () => {
    using traced = new Traced();
    const key = newKey();
    const first = await agent.shell({ cmd: 'echo first', key });
    expect(await agent.shell({ cmd: traced.cmd, key })).toMatchObject({ session: first.session, stdout: 'first\n' });
    expect(() => traced.runs).toThrow();
  });

  test.concurrent('may ask for another part of the output', async () => {
    const key = newKey();
    await agent.shell({ cmd: 'seq 1000', key });
    const answer = await agent.shell({ cmd: 'seq 1000', key, max_output: 256, keep: 'tail' });
    expect(answer.stdout).toEndWith('\n999\n1000\n');
    expect(answer.truncated).toBe(true);
  });

  test.concurrent('does not run again after its session was closed', async () => {
    using traced = new Traced();
    const args = { cmd: traced.cmd, key: newKey() };
    const { session } = await agent.shell(args);
    await agent.call('close_session', { session });
    const reply = await agent.call('shell', args);
    expect(traced.runs).toBe(1);
    expect([200, 404]).toContain(reply.status);
  });
});

describe('a key', () => {
  test.concurrent('makes no difference to other keys and to calls without one', async () => {
    using traced = new Traced();
    const answers = [
      await agent.shell({ cmd: traced.cmd, key: newKey() }),
      await agent.shell({ cmd: traced.cmd, key: newKey() }),
      await agent.shell({ cmd: traced.cmd }),
      await agent.shell({ cmd: traced.cmd }),
    ];
    expect(new Set(answers.map((answer) => answer.session)).size).toBe(4);
    expect(traced.runs).toBe(4);
  });

  test.concurrent.each(['k', 'x'.repeat(128), '../../etc/passwd', '__proto__', 'toString', 'é 語 😀 "\n'])(
    '%p is one',
    async (key) => {
      using traced = new Traced();
      const [first, second] = [
        await agent.shell({ cmd: traced.cmd, key }),
        await agent.shell({ cmd: traced.cmd, key }),
      ];
      expect(second.session).toBe(first.session);
      expect(traced.runs).toBe(1);
    },
  );

  test.concurrent.each([[''], ['x'.repeat(129)], [5], [['k']]])('%p is none', async (key) => {
    expectRefusal(await agent.call('shell', { cmd: 'true', key }), 400, 'Invalid args', /key/);
  });

  test.concurrent('of a call that was refused is free', async () => {
    const key = newKey();
    expectRefusal(await agent.call('shell', { cmd: 'echo ran', cwd: '/no/such/directory', key }), 400, 'Invalid args');
    expect((await agent.shell({ cmd: 'echo ran', key })).stdout).toBe('ran\n');
  });
});

describe('a key is remembered', () => {
  const repeatAfter = async (between: (agent: Agent) => Promise<void>) => {
    await using mortal = await startAgent();
    using traced = new Traced();
    const args = { cmd: traced.cmd, key: newKey() };
    const first = await mortal.shell(args);
    await between(mortal);
    const second = await mortal.shell(args);
    return { same: second.session === first.session, stdout: second.stdout, runs: traced.runs };
  };
  const once = { same: true, stdout: 'output\n', runs: 1 };

  test.concurrent('by an agent that was stopped and started again', async () => {
    expect(await repeatAfter((mortal) => mortal.restart())).toEqual(once);
  });

  test.concurrent('by an agent that was killed and started again', async () => {
    const killed = async (mortal: Agent) => {
      await mortal.kill9();
      await mortal.restart();
    };
    expect(await repeatAfter(killed)).toEqual(once);
  });

  test.concurrent('while its command still runs, through the death of the agent', async () => {
    await using mortal = await startAgent();
    using traced = new Traced();
    using trigger = new Trigger();
    const args = { cmd: `${trigger.arrive}; ${trigger.wait}; ${traced.cmd}`, key: newKey() };
    const lost = mortal.call('shell', args).catch(() => 'lost');
    await trigger.arrived();
    await mortal.kill9();
    expect(await lost).toBe('lost');
    await mortal.restart();
    const repeated = mortal.shell(args);
    trigger.open();
    expect((await repeated).stdout).toBe('output\n');
    expect(traced.runs).toBe(1);
  });
});
