import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { type Reply, readReply } from '../../helpers/answer.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const MIB = 1_048_576;
const SESSION_MIB = 10;
const ALL_MIB = 40;

const directory = new TemporaryDirectory();
const workspace = directory.join('workspace');
const profiles = directory.join('profiles.d');
for (const path of [workspace, profiles]) mkdirSync(path);
const username = Bun.spawnSync(['id', '-un']).stdout.toString().trim();
const PROFILES: Readonly<Record<string, string>> = {
  full: 'extends = "full"\n',
  readonly: `extends = "readonly"\nuser = "${username}"\n`,
  workspace: `extends = "workspace"\nuser = "${username}"\ndirectory = "${workspace}"\n`,
  filed: 'extends = "full"\nlimits = { file_mib = 1 }\n',
};
const settings = {
  AGENT3_TOKENS_FILE: directory.join('tokens.json'),
  AGENT3_PROFILES_DIR: profiles,
  AGENT3_MAX_SESSION_BYTES: String(SESSION_MIB * MIB),
  AGENT3_MAX_SESSIONS_BYTES: String(ALL_MIB * MIB),
  AGENT3_KILL_GRACE_SECONDS: '1',
};
const tokens: Record<string, string> = {};
for (const [kind, text] of Object.entries(PROFILES)) {
  writeFileSync(join(profiles, `of-${kind}.toml`), text);
  tokens[kind] = (await agent3(['token', 'create', kind, '--profile', `of-${kind}`], settings)).stdout.trim();
}
afterAll(() => directory[Symbol.dispose]());

type Agent = Awaited<ReturnType<typeof startAgent>>;

const callAs = async (agent: Agent, kind: string, op: string, args: object): Promise<Reply> => {
  const headers = { 'x-auth-token': tokens[kind] ?? '' };
  return readReply(await fetch(agent.url, { method: 'POST', headers, body: JSON.stringify({ op, args }) }));
};

/** What a session takes of the disk, in MiB. */
const diskOf = (agent: Agent, session: string): number => {
  const path = join(agent.sessionsDir, session);
  const blocks = readdirSync(path).map((name) => statSync(join(path, name)).blocks);
  return (blocks.reduce((sum, count) => sum + count, 0) * 512) / MIB;
};

/** As fallocate(1), by the older call of the file systems: FS_IOC_RESVSP64 and its like end in the same place. */
const RESVSP = `python3 -c 'import fcntl,struct; fcntl.ioctl(1, 0x4030582a, struct.pack("=hhxxxxqqi4i", 0, 0, 0, 60<<20, 0, 0, 0, 0, 0))'`;
const reservations: readonly (readonly [way: string, cmd: string])[] = [
  ['fallocate -n on standard output', 'fallocate -n -l 60M /proc/self/fd/1'],
  ['fallocate -n on standard error', 'fallocate -n -l 60M /proc/self/fd/2'],
  ['fallocate -n on both', 'fallocate -n -l 40M /proc/self/fd/1; fallocate -n -l 40M /proc/self/fd/2'],
  ['fallocate -n behind what was written', 'head -c 1M /dev/zero; fallocate -n -o 1M -l 60M /proc/self/fd/1'],
  ['fallocate -n far behind the end', 'fallocate -n -o 10G -l 60M /proc/self/fd/1'],
  [
    'fallocate -n in many small pieces',
    'for n in $(seq 60); do fallocate -n -o $((n * 1048576)) -l 1M /proc/self/fd/1; done',
  ],
  ['FS_IOC_RESVSP64', RESVSP],
  ['fallocate -z -n', 'fallocate -z -n -l 60M /proc/self/fd/1'],
];
const ends: readonly (readonly [end: string, cmd: string])[] = [
  ['that ends at once', 'echo out'],
  ['that goes on', 'echo out; sleep 60'],
];

describe.each(['full', 'readonly', 'workspace'])(
  'space that a command of the profile %s reserves is given back',
  (kind) => {
    const { AGENT3_MAX_SESSIONS_BYTES: _, ...unlimited } = settings;
    const starting = startAgent(unlimited);
    afterAll(async () => (await starting)[Symbol.asyncDispose]());
    for (const [way, reserve] of reservations) {
      for (const [end, rest] of ends) {
        // They wait for their time limits.
        test.concurrent(`${way}, by a command ${end}`, async () => {
          const agent = await starting;
          const reply = await callAs(agent, kind, 'shell', { cmd: `${reserve} || echo refused; ${rest}`, timeout: 5 });
          expect(`${reply.status} ${reply.text}`).toStartWith('200 ');
          const { body } = reply;
          expect(diskOf(agent, body.session)).toBeLessThan(2);
          // A sandbox, or a file system, may reserve nothing at all.
          if (/fallocate(?: failed|: cannot open)/.test(body.stderr) || body.stdout.includes('refused')) return;
          if (body.status === 'output_limit') expect(body.message).toContain('it reserved more of the disk');
          else expect(body).toMatchObject({ status: 'done', message: expect.stringContaining('was freed') });
        });
      }
    }
  },
);

test('what a left-over process reserves later stops it, and is given back', async () => {
  await using agent = await startAgent(settings);
  const cmd = '(sleep 1; fallocate -n -l 60M /proc/self/fd/1; sleep 60) & echo out';
  const { body } = await callAs(agent, 'full', 'shell', { cmd });
  expect(body.message).toContain('still running in this session');
  await eventually('the space', () => diskOf(agent, body.session) > 50, 20_000);
  await eventually('the space given back', () => diskOf(agent, body.session) < 2, 20_000);
  expect((await callAs(agent, 'full', 'read_session', { session: body.session })).body).toMatchObject({
    stdout: 'out\n',
  });
});

/** Blocks behind the end that are no more than what was written, or no more than 1 MiB; ext4, Btrfs and tmpfs count them. */
const countsAll = ['ext2/ext3', 'btrfs', 'tmpfs'].includes(
  Bun.spawnSync(['stat', '-f', '-c', '%T', directory.path]).stdout.toString().trim(),
);
const doubled: readonly (readonly [what: string, cmd: string, leastMib: number])[] = [
  ['as much as was written', 'head -c 4M /dev/zero; fallocate -n -o 4M -l 4M /proc/self/fd/1', 8],
  ['half of what was written', 'head -c 4M /dev/zero; fallocate -n -o 4M -l 2M /proc/self/fd/1', 6],
  ['as much, on standard error', 'head -c 4M /dev/zero >&2; fallocate -n -o 4M -l 4M /proc/self/fd/2', 8],
  [
    'less than 1 MiB without output',
    'fallocate -n -l 1000K /proc/self/fd/1; fallocate -n -l 1000K /proc/self/fd/2',
    1.9,
  ],
];
test.skipIf(!countsAll).concurrent.each(doubled)(
  'a reservation counts while it lasts: %s',
  async (_, cmd, leastMib) => {
    await using agent = await startAgent(settings);
    const { body } = await callAs(agent, 'full', 'shell', { cmd: `${cmd}; sleep 60`, background: true });
    await eventually('the reservation on disk', () => diskOf(agent, body.session) >= leastMib);
    const countedMib = async (): Promise<number> => {
      const { text } = await agent.request('/metrics');
      return Number(/^agent3_session_bytes (\d+)$/m.exec(text)?.[1]) / MIB;
    };
    await eventually('the reservation counted', async () => (await countedMib()) >= leastMib);
  },
);

test.skipIf(!countsAll)(
  'a command that doubles its output by a reservation is stopped at the limit of a session',
  async () => {
    await using agent = await startAgent(settings);
    const cmd = 'head -c 6M /dev/zero; fallocate -n -o 6M -l 6M /proc/self/fd/1; sleep 60';
    const { body } = await callAs(agent, 'full', 'shell', { cmd, timeout: 20 });
    expect(body).toMatchObject({ status: 'output_limit', stdout_bytes: 6 * MIB });
    expect(diskOf(agent, body.session)).toBeLessThan(7);
  },
);

test('output that only grows is never taken for a reservation', async () => {
  await using agent = await startAgent(settings);
  const cmd = 'for n in $(seq 90); do head -c 100K /dev/zero; done';
  const { body } = await callAs(agent, 'full', 'shell', { cmd });
  expect(body).toMatchObject({ status: 'done', stdout_bytes: 90 * 100 * 1024 });
  expect(body.message ?? '').not.toContain('given back');
});

test('output beyond the size of a file, and behind a hole, stays as it was written', async () => {
  await using agent = await startAgent(settings);
  const cmd = 'echo begin; truncate -s 3M /proc/self/fd/1; echo end; fallocate -n -l 8M /proc/self/fd/1';
  const { body } = await callAs(agent, 'full', 'shell', { cmd, keep: 'tail' });
  expect(body).toMatchObject({ status: 'done', stdout_bytes: 3 * MIB + 4 });
  expect(body.stdout).toEndWith('end\n');
});

test('a reservation for a file beyond file_mib stops the command, and the answer says so', async () => {
  await using agent = await startAgent(settings);
  const { body } = await callAs(agent, 'filed', 'shell', {
    cmd: 'echo out; fallocate -n -l 8M /proc/self/fd/1; sleep 60',
  });
  expect(body).toMatchObject({ status: 'output_limit', stdout: 'out\n' });
  expect(body.message).toContain('than a file may hold here (1 MiB)');
  expect(diskOf(agent, body.session)).toBeLessThan(2);
});

const floods: readonly (readonly [way: string, flood: (agent: Agent) => Promise<unknown>])[] = [
  [
    'output of many commands',
    async (agent) => {
      for (let call = 0; call < 8; call++) await callAs(agent, 'full', 'shell', { cmd: 'head -c 9M /dev/zero' });
    },
  ],
  [
    'output of commands that still run',
    async (agent) => {
      const cmd = 'head -c 9M /dev/zero; sleep 60';
      for (let call = 0; call < 8; call++) await callAs(agent, 'full', 'shell', { cmd, background: true });
    },
  ],
  [
    'a reservation',
    async (agent) => callAs(agent, 'full', 'shell', { cmd: 'fallocate -n -l 500M /proc/self/fd/1; sleep 3' }),
  ],
  [
    'a file of nothing but a hole',
    async (agent) => callAs(agent, 'full', 'shell', { cmd: 'truncate -s 8G /proc/self/fd/1; sleep 3' }),
  ],
  [
    'a reservation in a left-over process',
    async (agent) => {
      await callAs(agent, 'full', 'shell', { cmd: '(fallocate -n -l 9M /proc/self/fd/1; sleep 60) & sleep .5' });
      for (let call = 0; call < 5; call++) await callAs(agent, 'full', 'shell', { cmd: 'head -c 9M /dev/zero' });
    },
  ],
];

describe('a session of another token stays', () => {
  test.concurrent.each(floods)(
    'beside %s',
    async (_, flood) => {
      await using agent = await startAgent(settings);
      const old = await agent.shell({ cmd: 'echo mine; head -c 5M /dev/zero >&2' });
      const running = await agent.shell({ cmd: 'echo begun; sleep 90', background: true });
      await flood(agent);
      const heldMib = async (): Promise<number> => {
        const { text } = await agent.request('/metrics');
        return Number(/^agent3_session_bytes (\d+)$/m.exec(text)?.[1]) / MIB;
      };
      // The sweep of every full minute is not waited for.
      await eventually('sessions within their limit', async () => (await heldMib()) <= ALL_MIB);
      await Bun.sleep(1500);
      expect((await agent.read({ session: old.session })).stdout).toBe('mine\n');
      expect(await agent.read({ session: running.session })).toMatchObject({ status: 'running', stdout: 'begun\n' });
      expect((await agent.shell({ cmd: 'echo works' })).stdout).toBe('works\n');
    },
    60_000,
  );
});
