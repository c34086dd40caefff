import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { AgentAway } from '../../../src/console/channel.ts';
import type { Client, Server, State, Watched } from '../../../src/console/shown.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const CAREFUL = 'extends = "full"\nunreadable = "allow"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';
const NONE = '00000000-0000-4000-8000-000000000000';

describe('what the agent shows to the console', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  let agent: Agent;
  let wire: WireClient;

  beforeAll(async () => {
    for (const name of ['profiles.d', 'approvals']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    const { AGENT3_CONSOLE_SOCKET: socket, AGENT3_CONSOLE_KEY: key } = files.settings;
    agent = await startAgent({
      ...files.settings,
      AGENT3_APPROVALS_DIR: place.join('approvals'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_PROFILE: 'careful',
    });
    wire = new WireClient(socket, key);
  });
  afterAll(async () => {
    wire?.close();
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const state = async () => (await wire.request('state', {})) as State;
  const watch = async (args: object) =>
    (await wire.request('watch', { follow: [], wait_ms: 10_000, ...args })) as Watched;
  const start = async (cmd: string, more = {}) =>
    String((await agent.shell({ cmd, background: true, ...more })).session);
  const stop = async (session: string) => agent.call('close_session', { session });

  test('knows the size of a terminal', async () => {
    const plain = await start('sleep 60');
    const small = await start('sleep 60', { pty: true, rows: 10, cols: 40 });
    const usual = await start('sleep 60', { pty: true });
    const { running } = await state();
    const sizeOf = (session: string) => {
      const { terminal, rows, cols } = running.find((one) => one.session === session) ?? {};
      return { terminal, rows, cols };
    };
    expect(sizeOf(plain)).toEqual({ terminal: false, rows: null, cols: null });
    expect(sizeOf(small)).toEqual({ terminal: true, rows: 10, cols: 40 });
    expect(sizeOf(usual)).toEqual({ terminal: true, rows: 24, cols: 120 });
    for (const session of [plain, small, usual]) await stop(session);
  });

  test('describes the server', async () => {
    const server = (await wire.request('server', {})) as Server;
    expect(server).toMatchObject({ user: (await state()).user, limits: { running: 32, background_seconds: 3600 } });
    expect(server.load).toHaveLength(3);
    expect(server.memory_mib.available).toBeLessThanOrEqual(server.memory_mib.total);
    expect(server.disks[0]).toMatchObject({ path: '/' });
    expect(server.agent_bytes).toBeGreaterThan(10_000_000);
    expect(Math.abs(server.started_at - Date.now())).toBeLessThan(600_000);
  });

  test('names what runs, with what it uses, and what has ended', async () => {
    const session = await start('head -c 100 /dev/zero; while :; do :; done');
    const long = await start(`echo ${'x'.repeat(2000)}; sleep 60`);
    const running = await eventually('its use is known', async () => {
      const found = (await state()).running.find((one) => one.session === session);
      return found !== undefined && (found.cpu_ms ?? 0) > 0 && found.stdout_bytes === 100 && found;
    });
    expect(running).toMatchObject({ token: 'default', status: 'running', terminal: false, background: false });
    expect(running.memory_bytes).toBeGreaterThan(10_000);
    expect((await state()).running.find((one) => one.session === long)?.cmd).toHaveLength(300);
    const before = await state();
    expect(before).toMatchObject({ development: false, frozen: null, waiting: [] });
    expect(before.root_full).toBe(process.geteuid?.() === 0);
    await stop(session);
    await stop(long);
    const { session: failed } = await agent.shell({ cmd: 'exit 3', key: 'ended' });
    const ended = (await state()).ended.find((one) => one.session === failed);
    expect(ended).toMatchObject({ cmd: 'exit 3', status: 'done', exit_code: 3, token: 'default' });
  });

  test('shows each change at once, and nothing when nothing changes', async () => {
    const { version } = await watch({ version: 0 });
    const settled = await eventually('quiet', async () => {
      const { version: now } = await watch({ version: 0 });
      const quiet = await watch({ version: now, wait_ms: 500 });
      return quiet.state === undefined && quiet;
    });
    expect(settled.version).toBeGreaterThanOrEqual(version);
    const changed = watch({ version: settled.version });
    const session = await start('sleep 60');
    expect((await changed).state?.running.map((one) => one.session)).toEqual([session]);
    await stop(session);
  });

  test('follows what is written, byte for byte', async () => {
    const session = await start('read -r; for i in $(seq 500); do echo "line $i"; echo "error $i" >&2; done; read -r', {
      interactive: true,
    });
    const at = { stdout: -1, stderr: -1 };
    const texts = { stdout: '', stderr: '' };
    let { version } = await watch({ version: 0 });
    const step = async (): Promise<Watched> => {
      const answer = await watch({ version, follow: [{ session, ...at }] });
      for (const { stream, from, base64 } of answer.pieces) {
        expect(from).toBe(Math.max(0, at[stream]));
        const bytes = Buffer.from(base64, 'base64');
        at[stream] = from + bytes.length;
        texts[stream] += bytes.toString();
      }
      version = answer.version;
      return answer;
    };
    const first = step();
    await agent.call('write_session', { session, input: '\n' });
    await first;
    while (!texts.stdout.includes('line 500\n') || !texts.stderr.includes('error 500\n')) await step();
    const lines = (word: string) => Array.from({ length: 500 }, (_, index) => `${word} ${index + 1}\n`).join('');
    expect(texts).toEqual({ stdout: lines('line'), stderr: lines('error') });
    await agent.call('write_session', { session, input: '\n' });
    await eventually('it is over', async () => (await step()).ended.includes(session));
  });

  test('shows the end of what writes faster than anybody reads, and lets nobody else wait', async () => {
    const flood = await start('yes a line that comes again and again');
    const calm = await start('while :; do echo calm; sleep 0.05; done');
    const at = { flood: { stdout: -1, stderr: 0 }, calm: { stdout: -1, stderr: 0 } };
    const memory = async () => Number(/VmRSS:\s+(\d+)/.exec(await Bun.file(`/proc/${agent.pid}/status`).text())?.[1]);
    const before = await memory();
    let jumped = 0;
    let calmBytes = 0;
    for (let round = 0; round < 60; round++) {
      const answer = await watch({
        version: 0,
        follow: [
          { session: flood, ...at.flood },
          { session: calm, ...at.calm },
        ],
      });
      expect(JSON.stringify(answer).length).toBeLessThan(1_000_000);
      for (const { session, from, base64 } of answer.pieces) {
        const one = session === flood ? at.flood : at.calm;
        if (session === flood && from > Math.max(0, one.stdout)) jumped++;
        if (session === calm) calmBytes += Buffer.from(base64, 'base64').length;
        one.stdout = from + Buffer.from(base64, 'base64').length;
      }
      await Bun.sleep(20);
    }
    expect(jumped).toBeGreaterThan(0);
    expect(calmBytes).toBeGreaterThan(0);
    expect((await memory()) - before).toBeLessThan(60_000);
    await stop(flood);
    await stop(calm);
  });

  test('shows what waits for approval, all of it, in parts', async () => {
    const cmd = `rm -f /tmp/agent3-none; : '${'\u00e9"\\\u0007'.repeat(20_000)}'`;
    const { session, status } = await agent.shell({ cmd, stdin: '\ud83d\ude00'.repeat(100_000) });
    expect(status).toBe('waiting');
    const [waiting] = (await state()).waiting;
    expect(waiting).toMatchObject({ session, number: 1, token: 'default', profile: 'careful', kind: 'command' });
    expect(waiting?.cmd).toBe(cmd.slice(0, 300));
    let text = '';
    for (let from: number | null = 0; from !== null; ) {
      const part = (await wire.request('request', { session, from })) as { text: string; next: number | null };
      text += part.text;
      from = part.next;
    }
    expect(text).toHaveLength(waiting?.chars ?? 0);
    expect(JSON.parse(text)).toMatchObject({ session, cmd, stdin: '\ud83d\ude00'.repeat(100_000) });
    await agent.call('kill_session', { session });
    await eventually('it waits no more', async () => (await state()).waiting.length === 0);
    expect((await state()).ended.find((one) => one.session === session)?.status).toBe('withdrawn');
    await expect(wire.request('request', { session, from: 0 })).rejects.toThrow('Nothing waits');
  });

  test('names the clients, without their secrets', async () => {
    const { clients } = (await wire.request('clients', {})) as { clients: Client[] };
    expect(clients).toEqual([
      {
        ...{ name: 'default', kind: 'token', made: '', profile: 'careful', expires_at: null, client: null },
        last_used_at: expect.any(Number),
        addresses: ['127.0.0.1'],
        revocable: false,
        ...{ made_by: null, sign_in: null },
      },
    ]);
    expect(JSON.stringify(clients)).not.toContain(agent.token);
  });

  test('knows nothing of an order that never came', async () => {
    expect(await wire.request('order', { id: NONE, wait_ms: 100 })).toEqual({ id: NONE, state: 'unknown' });
  });

  test.each([
    ['nothing', {}],
    ['watch', { version: 1, follow: [], wait_ms: 60_000 }],
    ['watch', { version: 1, follow: [{ session: '../../etc', stdout: 0, stderr: 0 }], wait_ms: 0 }],
    ['watch', { version: 1, follow: Array(65).fill({ session: NONE, stdout: 0, stderr: 0 }), wait_ms: 0 }],
    ['request', { session: '../secrets', from: 0 }],
    ['order', { id: 'x', wait_ms: 1 }],
  ])('refuses %s %.100j', async (op, args) => {
    await expect(wire.request(op, args)).rejects.toMatchObject({ code: 'BadRequest' });
  });

  test('is there again after a restart of the agent', async () => {
    const [, before] = [await state(), (await watch({ version: 0 })).version];
    const { session: waiting } = await agent.shell({ cmd: 'rm -f /tmp/agent3-none' });
    await agent.restart();
    const { ended } = await eventually('it is there again', () => state().catch(() => undefined));
    expect(ended.find((one) => one.session === waiting)?.status).toBe('stopped');
    expect((await watch({ version: before })).state?.running).toEqual([]);
  });

  test('is closed to those without the key, also when they know the agent well', async () => {
    const stranger = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, agent.token.padEnd(40, 'x'));
    await expect(stranger.request('state', {})).rejects.toThrow(AgentAway);
  });

  test('keeps its key out of its environment and out of its commands', async () => {
    const key = files.settings.AGENT3_CONSOLE_KEY;
    const { stdout } = await agent.shell({ cmd: `tr '\\0' '\\n' < /proc/$PPID/environ; env` });
    expect(stdout).not.toContain(key);
  });
});
