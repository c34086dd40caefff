import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import type { Answer } from '../../helpers/answer.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { gone, isAlive, pidIn, processesWith } from '../../helpers/processes.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

const agent = await startAgent({ AGENT3_KILL_GRACE_SECONDS: '1' });
afterAll(() => agent[Symbol.asyncDispose]());

/** Runs a command that leaves processes behind; throws when the answer waits for them. */
const answeredAtOnce = (cmd: string): Promise<Answer> => within('the answer', agent.shell({ cmd }), 40_000);

const close = (session: string) => agent.call('close_session', { session });

/** Ways to leave a process behind; each writes its pid. */
const leftBehind: [string, string][] = [
  ['sleep 300 & echo $!', 'a job'],
  ['nohup sleep 300 > /dev/null 2>&1 & echo $!', 'nohup'],
  ['setsid sleep 300 & echo $!; disown', 'a session of its own'],
  ['(setsid sleep 300 & echo $!)', 'a double fork'],
  ['setsid -f bash -c "echo \\$\\$; exec sleep 300" | { read -r pid; echo $pid; }', 'setsid that forks'],
  ['setsid nohup sleep 300 < /dev/null > /dev/null 2>&1 & echo $!', 'everything at once'],
];

describe('a process left behind', () => {
  test.concurrent.each(leftBehind)(
    'by %p (%s) holds no answer open, is counted, and is stopped by close_session',
    async (cmd) => {
      const answer = await answeredAtOnce(cmd);
      const pid = pidIn(answer.stdout);
      expect(answer).toMatchObject({ status: 'done', exit_code: 0 });
      expect(answer.message).toMatch(/\b(1|one)\b/i);
      expect(answer.message).toContain('close_session');
      expect(isAlive(pid)).toBe(true);
      expect((await close(answer.session)).text).toBe('{"status":"closed"}');
      await gone(pid);
    },
  );

  test.concurrent('is counted with its like', async () => {
    const answer = await answeredAtOnce('sleep 300 & sleep 300 & setsid sleep 300 & sleep 0.2');
    expect(answer.message).toMatch(/\b(3|three)\b/i);
    expect(answer.message).toContain('(sleep ×3)');
    expect(processesWith(`AGENT3_SESSION=${answer.session}`)).toHaveLength(3);
    await close(answer.session);
    expect(processesWith(`AGENT3_SESSION=${answer.session}`)).toHaveLength(0);
  });

  test.concurrent('goes on writing into its session', async () => {
    using trigger = new Trigger();
    const answer = await answeredAtOnce(`{ ${trigger.wait}; echo late; } & echo early`);
    expect(answer.stdout).toBe('early\n');
    trigger.open();
    const later = await eventually('the late line is there', async () => {
      const read = await agent.read({ session: answer.session });
      return read.stdout.includes('late') && read;
    });
    expect(later).toMatchObject({ stdout: 'early\nlate\n', status: 'done', exit_code: 0 });
  });

  test.concurrent('survives the execution limit of its shell, which has ended', async () => {
    const answer = await agent.shell({ cmd: 'sleep 300 & echo $!', timeout: 1.5 });
    const pid = pidIn(answer.stdout);
    await agent.shell({ cmd: 'sleep 2' });
    expect(isAlive(pid)).toBe(true);
    await close(answer.session);
  });

  test.concurrent('that has ended meanwhile is not counted', async () => {
    const answer = await agent.shell({ cmd: 'sleep 0.05 & wait; true | true' });
    expect(answer).not.toHaveProperty('message');
  });
});

describe('at the execution limit the whole tree is stopped:', () => {
  const trees: [string, string][] = [
    ['the shell', 'echo $$; sleep 300; true'],
    ['a child of the shell', '{ echo $BASHPID; sleep 300; true; }; true'],
    ['a child in a session of its own', 'setsid sleep 300 & echo $!; wait'],
    ['a grandchild without its parent', '(sleep 300 & echo $!); sleep 300'],
    ['a grandchild in a session of its own, without its parent', '(setsid sleep 300 & echo $!); sleep 300'],
    ['a child with an empty environment', 'env -i setsid sleep 300 & echo $!; wait'],
    ['a child that ignores SIGTERM', "trap '' TERM; sleep 300 & echo $!; wait; wait"],
    ['a child that is stopped', 'sleep 300 & echo $!; kill -STOP $!; wait'],
    ['the shell, stopped', 'echo $$; kill -STOP $$; sleep 300'],
    ['a child of a child that ignores hang-ups', 'nohup bash -c "sleep 300 & echo \\$!; wait" 2> /dev/null & wait'],
  ];
  test.concurrent.each(trees)('%s', async (_, cmd) => {
    const answer = await within('the answer', agent.shell({ cmd, timeout: 1.5 }), 40_000);
    expect(answer).toMatchObject({ status: 'timeout', exit_code: 124 });
    const pid = pidIn(answer.stdout);
    await gone(pid);
    expect(processesWith(`AGENT3_SESSION=${answer.session}`)).toEqual([]);
  });

  test.concurrent('asks each process to end once', async () => {
    const trap = `trap 'echo term >> "$0"' TERM`;
    const each = `${trap}; echo up; for i in $(seq 40); do sleep 0.1; done`;
    using files = new TemporaryDirectory();
    const [own, other] = [files.join('own'), files.join('other')];
    const cmd = `setsid bash -c '${each.replaceAll("'", "'\\''")}' ${other} & bash -c '${each.replaceAll("'", "'\\''")}' ${own}; wait`;
    const answer = await agent.shell({ cmd, timeout: 2 });
    expect(answer).toMatchObject({ status: 'timeout', stdout: 'up\nup\n' });
    for (const file of [own, other]) expect(readFileSync(file, 'utf8')).toBe('term\n');
  });

  test.concurrent('other sessions live on', async () => {
    const other = await agent.shell({ cmd: 'sleep 300 & echo $!' });
    await agent.shell({ cmd: 'sleep 300', timeout: 0.5 });
    expect(isAlive(pidIn(other.stdout))).toBe(true);
    await close(other.session);
  });
});

// Alone: without a cgroup that reserves CPU for the agent, it has what thousands of others leave it.
test('a command that starts processes faster than one can count them is stopped, with all of them', async () => {
  const cmd = 'while :; do setsid sleep 300 & done';
  const answer = await within('the answer', agent.shell({ cmd, timeout: 0.5 }), 50_000);
  expect(answer.status).toBe('timeout');
  await eventually('all of them are gone', () => processesWith(`AGENT3_SESSION=${answer.session}`).length === 0);
});

describe('the names of left-behind processes', () => {
  test.skipIf(ensurePrograms('bwrap').length > 0)('are of the command, and not of its sandbox', async () => {
    await using boxed = await startAgent({ AGENT3_PROFILE: 'readonly' });
    const { message } = await boxed.shell({ cmd: 'sleep 300 & echo up' });
    expect(message).toContain('1 process it started (sleep) is');
    const rights = process.geteuid?.() === 0 ? '' : '--user --map-root-user ';
    const namespace = await agent.shell({ cmd: `unshare ${rights}--pid --fork sleep 300 & sleep 0.5; echo up` });
    expect(namespace.message).toMatch(/\((?:unshare, sleep|sleep, unshare)\)/);
    await close(namespace.session);
  });

  test.concurrent('are said: at most five, the most frequent first, on one line', async () => {
    const cmd = `d=$(mktemp -d); for name in one two three four five $'a\nb'; do cp /bin/sleep "$d/$name"; "$d/$name" 300 & done
      "$d/three" 300 & until [ "$(pgrep -cf "^$d/")" -ge 7 ]; do sleep 0.05; done; rm -r "$d"`;
    const answer = await agent.shell({ cmd });
    expect(answer.message).toMatch(
      /^The command has ended, and 7 processes it started \(three ×2, .+, .+, .+, .+ …\) are still/,
    );
    const read = await agent.read({ session: answer.session });
    expect(read.message).toContain('(three ×2, ');
    await close(answer.session);
    const one = await agent.shell({
      cmd: `d=$(mktemp -d); cp /bin/sleep "$d/"$'a\nb'; "$d/"$'a\nb' 300 & sleep 0.3; rm -r "$d"`,
    });
    expect(one.message).toContain('1 process it started (a\\u{a}b) is');
    await close(one.session);
  });
});
