import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { breakingProxy } from '../../helpers/breaking-proxy.ts';
import { agent3 } from '../../helpers/cli.ts';
import { Client, clientEnvironment, runClient, textOf } from '../../helpers/client.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { hexOf } from '../../helpers/links.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually } from '../../helpers/waiting.ts';

const MIB = 1_048_576;
const files = new TemporaryDirectory();
const agent = await startAgent();
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

let made = 0;
const newPath = (): string => files.join(`file-${++made}`);
const random = (bytes: number): Uint8Array => {
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(all.subarray(at, at + 65_536));
  return all;
};
const cp = async (...args: string[]) => textOf(await runClient(agent, ['cp', ...args]));
const DONE = { code: 0, stdout: '', stderr: '' };

describe('agent3 cp', () => {
  test.each([0, 1, 5 * MIB + 7])('copies a file of %d bytes to an agent and back', async (size) => {
    const bytes = random(size);
    const [local, remote, back] = [newPath(), newPath(), newPath()];
    writeFileSync(local, bytes);
    chmodSync(local, 0o750);
    expect(await cp(local, `:${remote}`)).toEqual(DONE);
    expect([hexOf(readFileSync(remote)), statSync(remote).mode & 0o7777]).toEqual([hexOf(bytes), 0o750]);
    expect(await cp(`:${remote}`, back)).toEqual(DONE);
    expect(hexOf(readFileSync(back))).toBe(hexOf(bytes));
  });

  test('keeps the permissions of what it replaces, here and there', async () => {
    const [local, remote] = [newPath(), newPath()];
    writeFileSync(local, 'new');
    writeFileSync(remote, 'old');
    chmodSync(local, 0o755);
    chmodSync(remote, 0o600);
    expect(await cp(local, `:${remote}`)).toEqual(DONE);
    expect([readFileSync(remote, 'utf8'), statSync(remote).mode & 0o7777]).toEqual(['new', 0o600]);
    writeFileSync(remote, 'newer');
    expect(await cp(`:${remote}`, local)).toEqual(DONE);
    expect([readFileSync(local, 'utf8'), statSync(local).mode & 0o7777]).toEqual(['newer', 0o755]);
  });

  test('copies into a directory that is there', async () => {
    const [local, directory] = [newPath(), newPath()];
    writeFileSync(local, 'x');
    mkdirSync(directory);
    expect(await cp(local, `:${directory}`)).toEqual(DONE);
    const name = local.split('/').at(-1) ?? '';
    expect(readFileSync(`${directory}/${name}`, 'utf8')).toBe('x');
    const here = newPath();
    mkdirSync(here);
    expect(await cp(`:${directory}/${name}`, here)).toEqual(DONE);
    expect(readFileSync(`${here}/${name}`, 'utf8')).toBe('x');
  });

  test('copies directories with -r, and links as links', async () => {
    const [tree, there, back] = [newPath(), newPath(), newPath()];
    mkdirSync(`${tree}/a b/empty`, { recursive: true });
    writeFileSync(`${tree}/top`, 'top');
    writeFileSync(`${tree}/a b/it's "odd" $(x)\n`, 'odd');
    const links = { 'a b/up': '../top', dir: 'a b', gone: '/nothing/here', '-n\n "': '$(x)\n' };
    for (const [name, target] of Object.entries(links)) symlinkSync(target, `${tree}/${name}`);
    expect(await cp('-r', tree, `:${there}`)).toEqual(DONE);
    expect(await cp('-r', `:${there}`, back)).toEqual(DONE);
    for (const root of [there, back]) {
      expect(readdirSync(root, { recursive: true }).sort()).toEqual(readdirSync(tree, { recursive: true }).sort());
      expect(readFileSync(`${root}/a b/it's "odd" $(x)\n`, 'utf8')).toBe('odd');
      for (const [name, target] of Object.entries(links)) expect(readlinkSync(`${root}/${name}`)).toBe(target);
    }
    expect(await cp(tree, `:${there}`)).toMatchObject({ code: 2, stderr: expect.stringContaining('-r') });
  });
  test('replaces links of an earlier copy, and writes through none', async () => {
    const [from, to] = [newPath(), newPath()];
    for (const root of [from, to]) mkdirSync(`${root}/tree`, { recursive: true });
    const there = `${from}/tree`;
    const here = `${to}/tree`;
    const outside = newPath();
    mkdirSync(outside);
    writeFileSync(`${there}/file`, 'new');
    symlinkSync('new', `${there}/link`);
    symlinkSync('old', `${here}/link`);
    symlinkSync(`${outside}/file`, `${here}/file`);
    expect(await cp('-r', `:${there}`, to)).toEqual(DONE);
    expect([readlinkSync(`${here}/link`), readFileSync(`${here}/file`, 'utf8')]).toEqual(['new', 'new']);
    // What an agent made a link of the first time, it calls a directory or a file the second time.
    mkdirSync(`${there}/sub`);
    writeFileSync(`${there}/sub/inner`, 'x');
    symlinkSync(outside, `${here}/sub`);
    const said = { code: 1, stderr: expect.stringContaining('is a symbolic link here') };
    expect(await cp('-r', `:${there}`, to)).toMatchObject(said);
    rmSync(`${there}/sub`, { recursive: true });
    symlinkSync(`${outside}/part`, `${here}/file.agent3-part`);
    expect(await cp('-r', `:${there}`, to)).toMatchObject({ code: 1 });
    expect(readdirSync(outside)).toEqual([]);
  });

  test('names what it cannot copy, copies the rest, and fails', async () => {
    const [tree, there, back] = [newPath(), newPath(), newPath()];
    mkdirSync(`${tree}/sub`, { recursive: true });
    writeFileSync(`${tree}/file`, 'x');
    Bun.spawnSync(['mkfifo', `${tree}/sub/pipe`]);
    const said = { ...DONE, code: 1, stderr: expect.stringMatching(/^agent3: not copied.*: sub\/pipe\n$/) };
    expect(await cp('-r', tree, `:${there}`)).toEqual(said);
    expect(await cp('-r', `:${tree}`, back)).toEqual(said);
    for (const root of [there, back]) expect(readFileSync(`${root}/file`, 'utf8')).toBe('x');
  });

  test('sends no pipe or device, which would arrive empty, and replaces none', async () => {
    const [pipe, target] = [newPath(), newPath()];
    Bun.spawnSync(['mkfifo', pipe]);
    for (const source of [pipe, '/dev/null']) {
      const said = `agent3: ${source} is not a regular file. To send what a program writes: PROGRAM | agent3 exec 'cat > FILE'\n`;
      expect(await cp(source, `:${target}`)).toEqual({ code: 1, stdout: '', stderr: said });
    }
    expect(existsSync(target)).toBe(false);
    const kept = `agent3: ${pipe} is not a regular file, so it is not replaced. Copy to another name.\n`;
    expect(await cp(':/etc/hostname', pipe)).toEqual({ code: 1, stdout: '', stderr: kept });
    expect(statSync(pipe).isFIFO()).toBe(true);
  });

  test('writes no more bytes than a file has, whatever the agent sends', async () => {
    let sent = 0;
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      sent++;
      controller.enqueue(new Uint8Array(MIB));
    };
    await using liar = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ method }) =>
        method === 'POST'
          ? Response.json({ url: `http://x/transfer/${'a'.repeat(43)}`, bytes: 3, mode: '644' })
          : new Response(new ReadableStream({ pull })),
    });
    using place = new TemporaryDirectory();
    const through = { url: liar.url.origin, token: agent.token };
    const { code, stderr } = textOf(await runClient(through, ['cp', ':/x', place.join('x')]));
    expect({ code, stderr, left: readdirSync(place.path), isFew: sent < 50 }).toEqual({
      code: 1,
      stderr: `agent3: ${liar.url.origin} sends more bytes than /x has. Copy it again.\n`,
      left: [],
      isFew: true,
    });
  });

  test.each(['requests', 'answers'] as const)('goes on where a connection broke, counted by %s', async (counted) => {
    const bytes = random(9 * MIB);
    const [from, to] = [newPath(), newPath()];
    writeFileSync(from, bytes);
    using breaker = breakingProxy(agent.port, 2 * MIB, counted);
    const through = { url: `http://127.0.0.1:${breaker.port}`, token: agent.token };
    const words = counted === 'requests' ? [from, `:${to}`] : [`:${from}`, to];
    const { code, stderr } = textOf(await runClient(through, ['cp', ...words]));
    expect({ code, broken: breaker.broken() > 3 }).toEqual({ code: 0, broken: true });
    expect(stderr).toMatch(/Trying again/);
    expect(hexOf(readFileSync(to))).toBe(hexOf(bytes));
  });

  test('begins again when the agent was restarted', async () => {
    await using other = await startAgent({ AGENT3_PORT: String(await freePort()) });
    const [from, to] = [newPath(), newPath()];
    const bytes = random(6 * MIB);
    writeFileSync(from, bytes);
    using breaker = breakingProxy(other.port, 3 * MIB, 'requests');
    const copying = new Client({ url: `http://127.0.0.1:${breaker.port}`, token: other.token }, ['cp', from, `:${to}`]);
    await eventually('it has broken once', () => breaker.broken() > 0);
    await other.restart();
    expect((await copying.ended()).code).toBe(0);
    expect(hexOf(readFileSync(to))).toBe(hexOf(bytes));
  });

  test('leaves what was there when it fails, and no part of a file', async () => {
    using place = new TemporaryDirectory();
    const target = place.join('kept');
    writeFileSync(target, 'kept');
    expect(await cp(':/nothing/here', target)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not exist'),
    });
    expect(readFileSync(target, 'utf8')).toBe('kept');
    expect(readdirSync(place.path)).toEqual(['kept']);
    expect(await cp(place.join('none'), ':/tmp/x')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not exist'),
    });
  });

  test('says what is wrong with its arguments', async () => {
    expect(await cp('/a', '/b')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('one path must be on an agent'),
    });
    expect(await cp(':/a', ':/b')).toMatchObject({ code: 2 });
    expect(await cp('/a', ':b')).toMatchObject({ code: 2, stderr: expect.stringContaining('absolute') });
    const refused = await agent3(['cp', '/etc/hostname', ':/tmp/x'], {
      AGENT3_URL: agent.url,
      AGENT3_API_TOKEN: 'not-the-token-of-it',
    });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('refuses this token') });
  });

  test('works with a token that may move files and run nothing', async () => {
    using place = new TemporaryDirectory();
    const settings = { AGENT3_TOKENS_FILE: place.join('tokens.json'), AGENT3_PROFILES_DIR: place.join('profiles.d') };
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    writeFileSync(
      `${settings.AGENT3_PROFILES_DIR}/mover.toml`,
      'extends = "full"\noperations = ["upload", "download"]\n',
    );
    const token = (await agent3(['token', 'create', 'mover', '--profile', 'mover'], settings)).stdout.trim();
    await using other = await startAgent(settings);
    const [from, to] = [newPath(), newPath()];
    writeFileSync(from, 'moved');
    const run = await runClient({ url: other.url, token }, ['cp', from, `:${to}`]);
    expect(textOf(run)).toEqual(DONE);
    expect(readFileSync(to, 'utf8')).toBe('moved');
  });

  test('shows a bar on a terminal, and its token nowhere', async () => {
    const [from, to] = [newPath(), newPath()];
    writeFileSync(from, random(3 * MIB));
    let shown = '';
    const child = Bun.spawn([BINARY, 'cp', from, `:${to}`], {
      env: clientEnvironment(agent),
      terminal: {
        cols: 100,
        data: (_, bytes) => {
          shown += Buffer.from(bytes).toString();
        },
      },
    });
    expect(await child.exited).toBe(0);
    await eventually('the end of the bar', () => shown.includes('100 % [####################] 3.0 MiB'));
    expect(shown).not.toContain(agent.token);
    expect(existsSync(to)).toBe(true);
  });
});
