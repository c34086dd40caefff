import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { TestNats } from '../../helpers/nats.ts';
import { linesOf } from '../../helpers/record.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const TOKENS = directory.join('tokens.json');
const AUDIT = directory.join('hub.jsonl');
const UP = ['web1', 'web2', 'web3'];
const recordOf = (name: string): string => directory.join(`${name}.jsonl`);

let nats: TestNats;
let hub: Agent;
const servers: Agent[] = [];

beforeAll(async () => {
  // web4 is in the inventory, and nobody has started it.
  nats = await TestNats.start(...UP, 'web4');
  for (const name of UP)
    servers.push(await startAgent({ ...nats.serverSettings(name, 'full'), AGENT3_AUDIT_FILE: recordOf(name) }));
  hub = await startAgent({
    ...nats.hubSettings,
    AGENT3_TOKENS_FILE: TOKENS,
    AGENT3_AUDIT_FILE: AUDIT,
    AGENT3_REPLY_SECONDS: '5',
  });
  await eventually('three servers are connected', async () => {
    const { servers: shown } = await call('list_servers', {});
    return (shown as Fields[]).filter(({ state }) => state === 'connected').length === 3;
  });
});
afterAll(async () => {
  await hub?.[Symbol.asyncDispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

type Fields = Readonly<Record<string, unknown>>;

async function call(operation: string, args: Fields, token = hub.token): Promise<Fields> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify(args) };
  const { status, text } = await hub.request(`/${operation}`, init);
  return { ...(JSON.parse(text) as Fields), http: status };
}

/** A command that does something on one server alone: each has a directory of sessions of its own. */
const onlyOn = (at: number, command: string): string =>
  `case $(readlink /proc/$$/fd/1) in ${servers[at]?.sessionsDir}/*) ${command};; esac`;

describe('run_on', () => {
  test('answers once for servers that agree, and names those that are not there', async () => {
    const answer = await call('run_on', { servers: ['web[1-4]'], cmd: 'echo same' });
    expect(answer).toMatchObject({
      servers: ['web[1-4]'],
      status: 'done',
      groups: [{ servers: ['web[1-3]'], exit_code: 0, stdout: 'same\n' }],
      unreachable: ['web4'],
      http: 200,
    });
    expect(Object.keys(answer)[0]).toBe('servers');
  });

  test('shows how one differs from the others, and what that one has as a whole', async () => {
    const cmd = `seq 100; ${onlyOn(1, 'echo more')}; true`;
    const answer = await call('run_on', { select: 'role=web', except: ['web4'], cmd });
    expect(answer['groups']).toMatchObject([
      { servers: ['web[1,3]'] },
      { servers: ['web2'], diff: expect.stringContaining('+more') },
    ]);
    const { groups } = await call('read_run', { run: answer['run'], server: 'web2' });
    expect(groups).toMatchObject([{ servers: ['web2'], stdout: expect.stringMatching(/100\nmore\n$/) }]);
  });

  test('stops before the next batch when too many have failed; what has failed can be run again', async () => {
    const done = directory.join('batch');
    const stopped = await call('run_on', {
      servers: UP,
      cmd: `echo x >> ${done}; ${onlyOn(0, 'exit 3')}; true`,
      batches: [1, '100%'],
    });
    expect(stopped).toMatchObject({
      status: 'stopped',
      groups: [{ servers: ['web1'], exit_code: 3 }],
      not_started: ['web[2-3]'],
      message: expect.stringContaining('Batch 2 was not begun: 1 failed, and max_failures is 0.'),
    });
    expect(readFileSync(done, 'utf8')).toBe('x\n');
    const again = await call('run_on', { select: `failed:${stopped['run']}`, cmd: 'echo again' });
    expect(again).toMatchObject({ servers: ['web1'], status: 'done', groups: [{ stdout: 'again\n' }] });
    const all = await call('run_on', {
      servers: UP,
      cmd: `${onlyOn(0, 'exit 3')}; true`,
      batches: [1, '100%'],
      max_failures: 1,
    });
    expect(all).toMatchObject({ status: 'done', servers: ['web[1-3]'] });
    // Who is not there has failed. The first in the call is the first that is called.
    const away = await call('run_on', { servers: ['web1', 'web4'], cmd: 'true', batches: ['50%', 1] });
    expect(away).toMatchObject({ status: 'done', unreachable: ['web4'] });
    const canary = await call('run_on', { servers: ['web4', 'web1'], cmd: 'true', batches: ['50%', 1] });
    expect(canary).toMatchObject({ status: 'stopped', unreachable: ['web4'], not_started: ['web1'] });
  });

  test('continues after its answer, and read_run follows it to the end', async () => {
    using trigger = new Trigger();
    const slow = await call('run_on', {
      servers: UP,
      cmd: `${onlyOn(2, trigger.wait)}; echo done`,
      timeout: 300,
      key: 'slow',
    });
    // The answer leaves in time: this hub has 5 s.
    expect(slow).toMatchObject({
      status: 'running',
      running: ['web3'],
      groups: [{ servers: ['web[1-2]'], stdout: 'done\n' }],
    });
    trigger.open();
    await eventually(
      'the run is over',
      async () => (await call('read_run', { run: slow['run'], wait: 1 }))['status'] === 'done',
    );
    const { groups } = await call('read_run', { run: slow['run'] });
    expect(groups).toMatchObject([{ servers: ['web[1-3]'], exit_code: 0, stdout: 'done\n' }]);
  });

  test('runs nothing twice with the same key', async () => {
    const file = directory.join('once');
    for (let n = 0; n < 2; n++) await call('run_on', { servers: UP, cmd: `echo x >> ${file}`, key: 'once' });
    expect(readFileSync(file, 'utf8')).toBe('x\nx\nx\n');
  });

  test.each([
    [{ cmd: 'true' }, 'either servers or select'],
    [{ cmd: 'true', servers: ['web9'] }, 'no server web9'],
    [{ cmd: 'true', servers: [] }, 'chooses no server'],
    [{ cmd: 'true', select: 'role=mail' }, 'chooses no server'],
    [{ cmd: 'true', servers: UP, batches: [1] }, 'cover only 1 of 3'],
    [{ cmd: 'true', select: 'failed:none' }, 'There is no such run'],
    [{ servers: UP }, 'cmd'],
    [{ cmd: 'true', servers: ['hub', 'web1'] }, 'hub is the hub itself'],
  ])('refuses %p', async (args, why) => {
    const { http, message } = await call('run_on', args);
    expect([400, 404]).toContain(Number(http));
    expect(message).toContain(why);
  });

  test('is on record at the hub with each server, and another token has none of its runs', async () => {
    const marker = directory.join('recorded');
    const { run } = await call('run_on', { servers: UP, cmd: `touch ${marker}` });
    expect(existsSync(marker)).toBe(true);
    const lines = linesOf(AUDIT);
    const begun = lines.findLastIndex(({ op }) => op === 'run_on');
    const on = lines.slice(begun).flatMap(({ op, server }) => (op === 'shell' ? [String(server).split('@')[0]] : []));
    expect(on.sort()).toEqual(UP);
    const { request } = lines.at(-1) ?? {};
    expect(lines.slice(begun + 1).map((line) => line['request'])).toEqual(UP.map(() => request));
    const other = (
      await agent3(['token', 'create', 'other', '--profile', 'full'], { AGENT3_TOKENS_FILE: TOKENS })
    ).stdout.trim();
    await eventually('the token is known', async () => (await call('list_servers', {}, other))['http'] === 200);
    expect(await call('read_run', { run }, other)).toMatchObject({ http: 404 });
  });
});

test('a change of the fleet breaks no call that is under way on another server', async () => {
  using trigger = new Trigger();
  const running = call('shell', { server: 'web1', cmd: `${trigger.arrive}; ${trigger.wait}; echo whole` });
  await trigger.arrived();
  // As `fleet invite`, `remove` and `label` do it.
  nats.reload();
  await eventually(
    'NATS has read it',
    async () => (await call('shell', { server: 'web2', cmd: 'true' }))['http'] === 200,
  );
  trigger.open();
  expect(await running).toMatchObject({ http: 200, stdout: 'whole\n' });
});

describe('agent3 exec', () => {
  const exec = (...words: string[]) =>
    agent3(['exec', '-n', ...words], { AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token });

  test('with --server is as on this machine: both streams as they come, and the exit code', async () => {
    const cmd = 'seq 30000; echo wrong >&2; sleep 0.2; echo end; exit 3';
    const { code, stdout, stderr } = await exec('--server', 'web2', cmd);
    expect(code).toBe(3);
    expect(stdout).toBe(`${Array.from({ length: 30_000 }, (_, at) => at + 1).join('\n')}\nend\n`);
    expect(stderr).toBe('wrong\n');
    expect((await exec('--server', 'web9', 'true')).stderr).toContain('server must be one of hub, web1');
    const env = { AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token };
    const listed = await agent3(['session', 'list', '--server', 'web2', '--limit', '1'], env);
    expect(listed.stdout).toMatch(/^[\w-]{36}@[a-z2-7]{8}\tdone\t3\t.*\tseq 30000; /);
  });

  test('on several prints equal answers once', async () => {
    const well = await exec('--server', 'web[1-3]', 'echo same');
    expect(well).toMatchObject({ code: 0, stdout: 'web[1-3]:\nsame\n', stderr: '' });
    const mixed = await exec('--select', 'role=web', onlyOn(1, 'echo other; exit 4'));
    expect(mixed.code).toBe(1);
    expect(mixed.stdout).toBe('web[1,3]:\nweb2 (exit code 4):\nother\n');
    expect(mixed.stderr).toBe('agent3: unreachable, nothing was run: web4\n');
  });
});

describe('kill_session with the id of a run', () => {
  /** A run of a command that has ended on web1 and continues on the others. */
  async function begun(args: Fields = {}) {
    const begin = directory.join(crypto.randomUUID());
    const cmd = `echo x >> ${begin}; ${onlyOn(0, 'exit 0')}; exec sleep 300`;
    // web4, where nobody is, comes after these.
    const { run } = await call('run_on', { select: 'role=web', cmd, batches: [3, '100%'], wait: 0, ...args });
    await eventually('it has begun on three', () => existsSync(begin) && readFileSync(begin, 'utf8') === 'x\nx\nx\n');
    await eventually('it has ended on web1', async () => {
      const { groups } = await call('read_run', { run });
      return (groups as unknown[]).length === 1;
    });
    return String(run);
  }
  const ended = (run: string): Promise<Fields> =>
    eventually('the run is over', async () => {
      const shown = await call('read_run', { run, wait: 1 });
      return shown['status'] !== 'running' && shown;
    });

  test('takes back calls that have not answered yet, and begins no further batch', async () => {
    const run = await begun();
    expect(await call('kill_session', { session: run.toUpperCase() })).toEqual({
      run,
      servers: ['web[1-4]'],
      stopped: ['web[2-3]'],
      ended: ['web1'],
      not_started: ['web4'],
      http: 200,
    });
    expect(await ended(run)).toMatchObject({
      status: 'stopped',
      groups: [
        { servers: ['web[2-3]'], status: 'killed' },
        { servers: ['web1'], exit_code: 0 },
      ],
      not_started: ['web4'],
      message: 'It was stopped: nothing more is started.',
    });
    expect(linesOf(recordOf('web2')).at(-1)).toMatchObject({ event: 'end', status: 'killed', taken_back: true });
    expect(await call('kill_session', { session: run })).toMatchObject({
      ended: ['web[1-3]'],
      message: 'The run was over before: nothing was done.',
    });
  });

  test('signals the sessions that are known, and both sides have it on record', async () => {
    const run = await begun();
    // The calls on the servers are over after 5 s, and the hub follows the sessions.
    await call('read_run', { run, wait: 3 });
    await call('read_run', { run, wait: 3 });
    expect(await call('kill_session', { session: run, signal: 'SIGINT' })).toMatchObject({
      stopped: ['web[2-3]'],
      ended: ['web1'],
    });
    await ended(run);
    const lines = linesOf(AUDIT).filter(({ op }) => op === 'kill_session');
    const told = lines.slice(lines.findLastIndex(({ session }) => session === run) + 1);
    expect(told.map(({ server }) => String(server).split('@')[0]).sort()).toEqual(['web2', 'web3']);
    const onServer = (name: string): Fields[] =>
      linesOf(recordOf(name)).filter(({ request, op }) => op === 'kill_session' && request === told[0]?.['request']);
    expect(onServer('web2')).toMatchObject([{ op: 'kill_session', signal: 'INT' }]);
    expect(onServer('web1')).toEqual([]);
  });

  test('says whom it has not reached, and takes a repeat', async () => {
    const run = await begun();
    await call('read_run', { run, wait: 3 });
    await call('read_run', { run, wait: 3 });
    const pid = servers[2]?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      expect(await call('kill_session', { session: run })).toMatchObject({
        stopped: ['web2'],
        not_reached: ['web3'],
        message: expect.stringContaining('It may run on those of not_reached'),
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const again = await eventually('web3 is back', async () => {
      const answer = await call('kill_session', { session: run, signal: 'KILL' });
      return answer['not_reached'] === undefined && answer;
    });
    expect(again).toMatchObject({ stopped: ['web3'], ended: ['web[1-2]'] });
    expect(await ended(run)).toMatchObject({ not_started: ['web4'] });
  });

  test('stops also what a repeat with the same key was answered: it is the same run', async () => {
    const run = await begun({ key: 'again' });
    const repeat = await call('run_on', { select: 'role=web', cmd: 'echo other', key: 'again', wait: 0 });
    expect(repeat).toMatchObject({
      run,
      status: 'running',
      message: expect.stringMatching(/^This key was used before.* use a new key for a new call\./),
    });
    expect(await call('kill_session', { session: run })).toMatchObject({
      stopped: ['web[2-3]'],
      not_started: ['web4'],
    });
    await ended(run);
    // When it is over, each server answers for the first call.
    const later = await call('run_on', { servers: ['web1'], cmd: 'echo other', key: 'again' });
    expect(later).toMatchObject({ status: 'done', groups: [{ servers: ['web1'], exit_code: 0, stdout: '' }] });
    expect(later['run']).not.toBe(run);
  });

  test('is refused for a signal that ends nothing, a misspelt argument, and a run of another token', async () => {
    const run = await begun();
    expect(await call('kill_session', { session: run, signal: 'HUP', dry_run: true })).toMatchObject({ http: 400 });
    expect(await call('kill_session', { session: run, signal: 'STOP' })).toMatchObject({
      http: 400,
      message: expect.stringContaining('signal must be one of "TERM", "KILL", "INT", "HUP", "QUIT"'),
    });
    const env = { AGENT3_TOKENS_FILE: TOKENS };
    const stranger = (await agent3(['token', 'create', 'stranger', '--profile', 'full'], env)).stdout.trim();
    await eventually('the token is known', async () => (await call('list_servers', {}, stranger))['http'] === 200);
    expect(await call('kill_session', { session: run }, stranger)).toMatchObject({ http: 404 });
    expect(await call('read_run', { run })).toMatchObject({ status: 'running' });
    const stop = await agent3(['session', 'stop', run], { AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token });
    expect(stop).toMatchObject({ code: 0, stdout: 'stopped: web[2-3]\nended before: web1\n' });
  });

  test.each(['older', 'newer'] as const)('is what a client of MCP does that takes run_on back: %s', async (era) => {
    await using client = await McpClient.overHttp(hub, {}, era);
    const begin = directory.join(`taken-back-${era}`);
    const timesTaken = (): number[] =>
      ['web1', 'web2'].map((name) => linesOf(recordOf(name)).filter((line) => line['taken_back'] === true).length);
    const before = timesTaken();
    const cancel = new AbortController();
    const args = { servers: ['web[1-2]'], cmd: `echo x >> ${begin}; exec sleep 300` };
    const taken = client.call('run_on', args, { signal: cancel.signal }).catch(() => 'taken back');
    await eventually('it has begun', () => existsSync(begin) && readFileSync(begin, 'utf8') === 'x\nx\n');
    cancel.abort();
    expect(await taken).toBe('taken back');
    await eventually('it is stopped on both', () => timesTaken().every((times, at) => times === (before[at] ?? 0) + 1));
  });

  test('is what Ctrl-C does in agent3 exec, also before the run has answered', async () => {
    const begin = directory.join('interrupted');
    const cmd = `echo x >> ${begin}; exec sleep 300`;
    const child = Bun.spawn([BINARY, 'exec', '-n', '--server', 'web[1-2]', cmd], {
      env: { ...BASE_ENVIRONMENT, AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    await eventually('it has begun', () => existsSync(begin) && readFileSync(begin, 'utf8') === 'x\nx\n');
    child.kill('SIGINT');
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'agent3: stopped: web[1-2]\n' });
    expect(stdout).toStartWith('web[1-2] (killed');
  });
});

test('agent3 exec that is left before its server has answered says where to look for the command', async () => {
  let asked = 0;
  using silent = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    fetch: () => {
      asked++;
      return new Promise<Response>(() => {});
    },
  });
  const child = Bun.spawn([BINARY, 'exec', '-n', '--server', 'web1', 'true'], {
    env: { AGENT3_URL: silent.url.origin, AGENT3_API_TOKEN: hub.token },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stderr = child.stderr.text();
  await eventually('it has asked', () => asked > 0);
  // Two that are pending at once count as one.
  while (child.exitCode === null) {
    child.kill('SIGINT');
    await Bun.sleep(50);
  }
  expect(await stderr).toContain('may have started. To check: agent3 session list --server web1\n');
});

describe('agent3 cp', () => {
  const cp = (...words: string[]) =>
    agent3(['cp', '-q', '--server', 'web1', ...words], { AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token });

  test('copies a file to a server and back, byte for byte, with its mode', async () => {
    const [local = '', there = '', back = ''] = ['local.bin', 'there.bin', 'back.bin'].map((name) =>
      directory.join(name),
    );
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await Bun.write(local, Buffer.concat(Array(20).fill(bytes)));
    chmodSync(local, 0o751);
    expect(await cp(local, `:${there}`)).toMatchObject({ code: 0, stderr: '' });
    expect(await cp(`:${there}`, back)).toMatchObject({ code: 0, stderr: '' });
    for (const path of [there, back]) {
      expect(readFileSync(path).equals(readFileSync(local))).toBe(true);
      expect(statSync(path).mode & 0o777).toBe(0o751);
    }
    writeFileSync(local, '');
    expect((await cp(local, `:${there}`)).code).toBe(0);
    expect(readFileSync(there)).toHaveLength(0);
    expect((await cp(`:${there}`, back)).code).toBe(0);
    expect(readFileSync(back)).toHaveLength(0);
  });

  test('is for one server, and says how a server of the fleet is named', async () => {
    expect(await cp('--server', 'web2', '/etc/hostname', `:${directory.join('two')}`)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('one server'),
    });
    const env = { AGENT3_URL: hub.url, AGENT3_API_TOKEN: hub.token };
    const [here, there] = [directory.join('named'), directory.join('named-there')];
    expect(await agent3(['cp', '-q', 'web1:/etc/hostname', here], env)).toMatchObject({ code: 0, stderr: '' });
    expect(await agent3(['cp', '-q', here, `web1:${there}`], env)).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(there)).toEqual(readFileSync('/etc/hostname'));
    expect(await agent3(['cp', '-q', 'web9:/etc/hostname', here], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('server must be one of'),
    });
    expect(await cp('web2:/etc/hostname', here)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('not both'),
    });
    expect(await agent3(['cp', '--url', hub.url, 'a.example.org:/etc/hostname', here], env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('not both'),
    });
  });

  test('copies a directory there and back, and links as links', async () => {
    const [tree, there, back] = [directory.join('tree'), directory.join('tree-there'), directory.join('tree-back')];
    mkdirSync(`${tree}/inner`, { recursive: true });
    writeFileSync(`${tree}/inner/file`, 'text');
    symlinkSync('inner/file', `${tree}/link`);
    expect(await cp('-r', tree, `:${there}`)).toMatchObject({ code: 0, stderr: '' });
    expect(await cp('-r', `:${there}`, back)).toMatchObject({ code: 0, stderr: '' });
    expect([readFileSync(`${back}/inner/file`, 'utf8'), readlinkSync(`${back}/link`)]).toEqual(['text', 'inner/file']);
  });

  test('continues when NATS was away, in both directions', async () => {
    using place = new TemporaryDirectory();
    const [local, there, back] = [place.join('local'), place.join('there/file'), place.join('back/file')];
    for (const path of [there, back]) mkdirSync(dirname(path));
    const bytes = Buffer.concat(Array(2000).fill(crypto.getRandomValues(new Uint8Array(60_000))));
    writeFileSync(local, bytes);
    for (const [words, target] of [
      [[local, `:${there}`], there],
      [[`:${there}`, back], back],
    ] as const) {
      const copied = cp(...words);
      await eventually('a part has come', () => {
        const sizes = readdirSync(dirname(target)).map((name) => statSync(join(dirname(target), name)).size);
        return sizes.some((size) => size > 1_000_000);
      });
      await nats.kill();
      expect(existsSync(target)).toBe(false);
      await nats.run();
      expect(await copied).toMatchObject({ code: 0, stderr: expect.stringContaining('Trying again in') });
      expect(readFileSync(target).equals(bytes)).toBe(true);
    }
  }, 120_000);

  test('says what does not work, and leaves nothing behind', async () => {
    const missing = await cp(`:${directory.join('nothing')}`, directory.join('here'));
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/web1: .* does not exist/) });
    writeFileSync(directory.join('local'), 'text');
    expect((await cp(directory.join('local'), ':/proc/nowhere/x')).code).toBe(1);
    expect(readdirSync(directory.path).filter((name) => name.includes('agent3-part'))).toEqual([]);
  });
});
