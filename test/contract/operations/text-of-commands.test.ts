import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const TEXT = 'A'.repeat(98_000);
const CALLS = 300;

/** What a process has of memory, in MiB. */
const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** What all sessions take of the disk, in bytes. */
const diskOf = (directory: string): number =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .map(({ parentPath, name }) => statSync(join(parentPath, name)).blocks * 512)
    .reduce((sum, bytes) => sum + bytes, 0);

/** Denies what writes to a place, so that the part of the command that it names is long. */
const RULES = `extends = "full"
[[rules]]
action = "deny"
command = "rm"
reason = "no"
`;

const ways: readonly (readonly [way: string, args: (call: number) => Readonly<Record<string, unknown>>])[] = [
  ['a comment behind the command', (call) => ({ cmd: `true ${call} #${TEXT}` })],
  ['a command that runs in the background', (call) => ({ cmd: `true ${call} #${TEXT}`, background: true })],
  ['a command that rules deny', (call) => ({ cmd: `rm ${call} ${TEXT}` })],
  ['a command with a key', (call) => ({ cmd: `true #${TEXT}`, key: `key ${call}` })],
  ['standard input that nothing reads', (call) => ({ cmd: `true ${call}`, stdin: TEXT })],
  ['an input that stays open', (call) => ({ cmd: `true ${call}`, stdin: TEXT.slice(0, 60_000), interactive: true })],
  ['a variable', (call) => ({ cmd: `true ${call}`, env: { LARGE: TEXT } })],
  ['a directory that is none', (call) => ({ cmd: `true ${call}`, cwd: `/${TEXT}` })],
];

describe(`the text of ${CALLS} calls with 98 KB each takes neither memory nor sessions' disk`, () => {
  test.each(ways)('%s', async (_, args) => {
    using profiles = new TemporaryDirectory();
    writeFileSync(profiles.join('careful.toml'), RULES);
    await using agent = await startAgent({ AGENT3_PROFILES_DIR: profiles.path, AGENT3_PROFILE: 'careful' });
    for (let call = 0; call < 20; call++) await agent.call('shell', { cmd: 'true' });
    const before = rssOf(agent.pid);
    let call = 0;
    const client = async (): Promise<void> => {
      while (call++ < CALLS) expect([200, 400]).toContain((await agent.call('shell', args(call))).status);
    };
    await Promise.all([client(), client(), client(), client()]);
    expect(diskOf(agent.sessionsDir)).toBeLessThan(CALLS * 16_384);
    await eventually('memory that came back', () => (rssOf(agent.pid) - before < 45 ? true : undefined), 30_000);
  });
});

test('a long command is known again by its key, also when it differs only at its end', async () => {
  await using agent = await startAgent();
  const cmd = `echo ran #${TEXT}`;
  const first = await agent.shell({ cmd, key: 'long' });
  await agent.restart();
  const same = await agent.shell({ cmd, key: 'long' });
  expect(same.session).toBe(first.session);
  expect(same.message).toContain('nothing was run again');
  expect(same.message).not.toContain('another command');
  const other = await agent.shell({ cmd: `${cmd}B`, key: 'long' });
  expect(other.message).toContain('That call had another command');
});

test('a session of an agent that kept whole commands is cut when it is loaded', async () => {
  await using agent = await startAgent();
  const { session } = await agent.shell({ cmd: 'echo ran', key: 'old' });
  await agent.stop();
  const file = join(agent.sessionsDir, session, 'meta.json');
  const cmd = `echo ran #${TEXT}`;
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), cmd }));
  await agent.restart();
  const { message } = await agent.shell({ cmd, key: 'old' });
  expect(message).toContain('nothing was run again');
  expect(message).not.toContain('another command');
  await agent.call('close_session', { session });
  expect(statSync(file).size).toBeLessThan(4096);
});

test('a command that is too long for an argument leaves no file behind', async () => {
  await using agent = await startAgent();
  const { session, stdout } = await agent.shell({ cmd: `echo ran #${'é'.repeat(90_000)}` });
  expect(stdout).toBe('ran\n');
  await eventually('the end', () => !readdirSync(join(agent.sessionsDir, session)).includes('command'));
  expect(readdirSync(join(agent.sessionsDir, session)).sort()).toEqual(['meta.json', 'stderr', 'stdout']);
});

test('closing a session with a key leaves its record alone', async () => {
  await using agent = await startAgent();
  // 'é' has two bytes: the command is too long for an argument, and goes through a file.
  const { session } = await agent.shell({ cmd: `echo ran #${'é'.repeat(90_000)}`, key: 'closed' });
  await agent.call('close_session', { session });
  const files = readdirSync(join(agent.sessionsDir, session)).sort();
  expect(files).toEqual(['meta.json', 'start.json']);
  for (const file of files) expect(statSync(join(agent.sessionsDir, session, file)).size).toBeLessThan(4096);
});
