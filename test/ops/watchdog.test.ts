import { afterEach, describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askHealth } from '../../ops/watchdog/check.ts';
import { isoDate } from '../../ops/watchdog/journal.ts';
import { mayRestart, nextRestart, readTrouble, writeTrouble } from '../../ops/watchdog/spacing.ts';
import { readTarget } from '../../ops/watchdog/target.ts';
import { type Agent, startAgent } from '../helpers/agent.ts';
import { BINARY, randomToken } from '../helpers/binary.ts';
import { agent3 } from '../helpers/cli.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { freePort } from '../helpers/ports.ts';

const MINUTE = 60_000;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d - /;

describe('restarts', () => {
  const waits: readonly [restarts: number, minutes: number][] = [
    [1, 5],
    [2, 10],
    [3, 20],
    [4, 40],
    [5, 60],
    [50, 60],
  ];
  test.each(waits)('after %i in vain wait %i minutes', (restarts, minutes) => {
    expect(nextRestart({ restarts, lastRestart: 1000 })).toBe(1000 + minutes * MINUTE);
  });

  test('do not wait at first, nor for a timer that comes a little early, nor for a clock that was set back', () => {
    expect(mayRestart({ restarts: 0, lastRestart: 0 }, 5)).toBe(true);
    const trouble = { restarts: 1, lastRestart: 100 * MINUTE };
    expect(mayRestart(trouble, 101 * MINUTE)).toBe(false);
    expect(mayRestart(trouble, 105 * MINUTE - 5000)).toBe(true);
    expect(mayRestart(trouble, 50 * MINUTE)).toBe(true);
  });

  test('are remembered in a file; a damaged one is like none', () => {
    using directory = new TemporaryDirectory();
    const file = join(directory.path, 'run', 'state.json');
    expect(readTrouble(file)).toEqual({ restarts: 0, lastRestart: 0 });
    writeTrouble(file, { restarts: 3, lastRestart: 12 });
    expect(readTrouble(file)).toEqual({ restarts: 3, lastRestart: 12 });
    writeFileSync(file, '{"restarts":"many"');
    expect(readTrouble(file)).toEqual({ restarts: 0, lastRestart: 0 });
    writeTrouble(file, { restarts: 0, lastRestart: 0 });
    expect(existsSync(file)).toBe(false);
  });
});

describe('the agent that is watched', () => {
  const origins: readonly [settings: Record<string, string>, origin: string][] = [
    [{}, 'http://127.0.0.1:5000'],
    [{ AGENT3_HOST: '0.0.0.0', AGENT3_PORT: '81' }, 'http://127.0.0.1:81'],
    [{ AGENT3_HOST: '::' }, 'http://[::1]:5000'],
    [{ AGENT3_HOST: '10.0.0.7', AGENT3_TLS_CERT: '/etc/cert' }, 'https://10.0.0.7:5000'],
    [{ AGENT3_HOST: 'fd00::7' }, 'http://[fd00::7]:5000'],
  ];
  test('is not read beyond the answer of an agent: another program may have its port', async () => {
    const spaces = new Uint8Array(1_048_576).fill(32);
    const body = () => new ReadableStream({ pull: (out) => out.enqueue(spaces) });
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => new Response(body()),
    });
    expect(await askHealth(server.url.origin, {}, 600)).toEqual({ fault: 'healthz is not from Agent3' });
  });

  test.each(origins)('with %j is asked on %s', (settings, origin) => {
    expect(readTarget('agent3', { AGENT3_API_TOKEN: 't', ...settings }).origin).toBe(origin);
  });

  test('is read from its settings file where the environment has no token', () => {
    using directory = new TemporaryDirectory();
    const file = join(directory.path, 'agent3.env');
    writeFileSync(file, '# a comment\nAGENT3_API_TOKEN="quoted token"\n#AGENT3_PORT=1\nAGENT3_PORT=5002\n');
    expect(readTarget('agent3', {}, file)).toEqual({
      unit: 'agent3',
      token: 'quoted token',
      origin: 'http://127.0.0.1:5002',
    });
    expect(() => readTarget('agent3', {}, join(directory.path, 'none'))).toThrow('no token');
  });
});

describe('a date', () => {
  test('is written as date -Is writes it', () => {
    const date = new Date(1_795_473_386_941);
    const { stdout } = Bun.spawnSync(['date', '-Is', '-d', '@1795473386']);
    expect(isoDate(date)).toBe(stdout.toString().trim());
  });
});

/**
 * A machine of one service: a `systemctl` that prints what `unit` says, and restarts by running `restart`. The agent is
 * the real one; the real systemd is in test/vm.
 */
class Machine implements Disposable {
  readonly directory = new TemporaryDirectory();
  readonly log = this.path('watchdog.log');

  constructor(private readonly environment: Readonly<Record<string, string>>) {
    this.tell('active', 'enabled');
    this.onRestart('exit 1');
  }

  path(name: string): string {
    return join(this.directory.path, name);
  }

  tell(active: string, enabled: string): void {
    writeFileSync(this.path('state'), `UnitFileState=${enabled}\nActiveState=${active}\nMainPID=0\nStatusText=\n`);
  }

  onRestart(script: string): void {
    const text = `#!/bin/sh
case "$1" in
  show) cat '${this.path('state')}' ;;
  --no-block) echo "$2 $3" >> '${this.path('asked')}' ;;
  try-restart) echo "$2" >> '${this.path('stopped')}' ;;
  restart) echo restart >> '${this.path('restarts')}'; ${script} ;;
esac
`;
    writeFileSync(this.path('systemctl'), text);
    chmodSync(this.path('systemctl'), 0o755);
  }

  get restarts(): number {
    return existsSync(this.path('restarts')) ? readFileSync(this.path('restarts'), 'utf8').split('\n').length - 1 : 0;
  }

  /** The units whose commands were stopped. */
  get stopped(): string {
    return existsSync(this.path('stopped')) ? readFileSync(this.path('stopped'), 'utf8') : '';
  }

  get lines(): string[] {
    return readFileSync(this.log, 'utf8').trim().split('\n');
  }

  check(...more: string[]) {
    const files = ['--log', this.log, '--state', this.path('state.json')];
    return agent3(['watchdog', '--once', ...files, '--recheck', '0', '--recovery', '2', ...more], {
      PATH: `${this.directory.path}:/usr/sbin:/usr/bin:/sbin:/bin`,
      ...this.environment,
    });
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]();
  }
}

const machineOf = (agent: Agent, token = agent.token): Machine =>
  new Machine({ AGENT3_API_TOKEN: token, AGENT3_PORT: String(agent.port) });

/** Agents that a restart has started. */
const started: number[] = [];
afterEach(() => {
  for (const pid of started.splice(0)) process.kill(pid, 'SIGKILL');
});

describe('a check', () => {
  test('of an agent that is well says so, and leaves no session', async () => {
    await using agent = await startAgent();
    using machine = machineOf(agent);
    expect(await machine.check()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(machine.lines).toHaveLength(1);
    expect(machine.lines[0]).toMatch(ISO);
    expect(machine.lines[0]).toEndWith(' - Agent3 running OK');
    expect(agent.sessionsOnDisk()).toEqual([]);
    expect(machine.restarts).toBe(0);
  });

  const large: readonly (readonly [file: string, mib: number, isRotated: boolean])[] = [
    ['audit.jsonl', 64, true],
    ['agent3.log', 70, true],
    ['watchdog.log', 100, true],
    ['agent3.log', 63, false],
    ['agent3.log.1', 100, false],
    ['sessions.db', 100, false],
  ];
  test.each(large)('lets logrotate run where a log has grown: %s with %i MiB: %p', async (file, mib, isRotated) => {
    await using agent = await startAgent();
    using machine = machineOf(agent);
    writeFileSync(machine.path(file), '');
    truncateSync(machine.path(file), mib * 1_048_576);
    expect((await machine.check()).code).toBe(0);
    expect(existsSync(machine.path('asked'))).toBe(isRotated);
    if (!isRotated) return;
    expect(readFileSync(machine.path('asked'), 'utf8')).toBe('start logrotate.service\n');
    expect(machine.lines[0]).toEndWith(` - Rotating ${file}, larger than 64 MiB`);
  });

  test('of an agent that reopens its logs takes it as alive', async () => {
    await using agent = await startAgent();
    using machine = machineOf(agent);
    machine.tell('reloading', 'enabled');
    expect((await machine.check()).code).toBe(0);
    expect(machine.restarts).toBe(0);
  });

  test('of an agent that has no room for a command takes it as alive', async () => {
    await using agent = await startAgent({ AGENT3_MAX_RUNNING: '1' });
    using machine = machineOf(agent);
    const long = agent.shell({ cmd: 'sleep 3' });
    expect((await machine.check()).code).toBe(0);
    await long;
  });

  test('of an agent that is stopped restarts it, and sees it run', async () => {
    const port = await freePort();
    const token = randomToken();
    using machine = new Machine({ AGENT3_API_TOKEN: token, AGENT3_PORT: String(port) });
    machine.tell('failed', 'enabled');
    machine.onRestart(`cd '${machine.directory.path}'; echo ActiveState=active > state
      AGENT3_API_TOKEN=${token} AGENT3_PORT=${port} setsid '${BINARY}' serve > /dev/null 2>&1 &
      echo $! > pid`);
    // On a busy machine it takes seconds until an agent answers.
    expect((await machine.check('--recovery', '30')).code).toBe(1);
    started.push(Number(readFileSync(machine.path('pid'), 'utf8')));
    expect(machine.lines.map((line) => line.replace(ISO, ''))).toEqual([
      'Agent3 not running. Restarting... (the unit is failed)',
      'Agent3 running again',
    ]);
    expect((await machine.check()).code).toBe(0);
    expect(existsSync(machine.path('state.json'))).toBe(false);
  });

  test('of an agent that was started with another token restarts it', async () => {
    await using agent = await startAgent();
    using machine = machineOf(agent, randomToken());
    expect((await machine.check()).code).toBe(3);
    expect(machine.lines[0]).toEndWith('Agent3 not running. Restarting... (the token of the settings is refused)');
    expect(machine.restarts).toBe(1);
  });

  test('spaces out restarts that do not help, and says when the owner has to look', async () => {
    using machine = new Machine({ AGENT3_API_TOKEN: randomToken(), AGENT3_PORT: String(await freePort()) });
    expect((await machine.check('--recovery', '0')).code).toBe(3);
    expect((await machine.check('--recovery', '0')).code).toBe(3);
    expect(machine.restarts).toBe(1);
    const told = machine.lines.map((line) => line.replace(ISO, ''));
    expect(told[0]).toBe('Agent3 not running. Restarting... (healthz was not answered)');
    expect(told[1]).toStartWith('Agent3 still not running. (systemctl restart failed');
    expect(told[2]).toMatch(/^Agent3 not running\. Next restart at \d{4}-\S+ \(healthz was not answered\)$/);
    writeFileSync(machine.path('state.json'), JSON.stringify({ restarts: 3, lastRestart: Date.now() - MINUTE }));
    await machine.check('--recovery', '0');
    expect(machine.restarts).toBe(1);
    expect(machine.stopped).toBe('');
    expect(machine.lines.at(-1)).toContain('3 restarts did not help. The owner must look: journalctl -u agent3');
  });

  test('stops every command as well when a restart alone did not help', async () => {
    using machine = new Machine({ AGENT3_API_TOKEN: randomToken(), AGENT3_PORT: String(await freePort()) });
    await machine.check('--recovery', '0');
    writeFileSync(machine.path('state.json'), JSON.stringify({ restarts: 1, lastRestart: Date.now() - 6 * MINUTE }));
    await machine.check('--recovery', '0');
    expect(machine.restarts).toBe(2);
    expect(machine.stopped).toBe('agent3-commands.service\n');
    expect(machine.lines.join('\n')).toContain('(healthz was not answered; every command is stopped too)');
  });

  test('of an agent that hangs restarts it', async () => {
    await using agent = await startAgent();
    using machine = machineOf(agent);
    agent.signal('SIGSTOP');
    const { code } = await machine.check('--recovery', '0');
    agent.signal('SIGCONT');
    expect(code).toBe(3);
    expect(machine.lines[0]).toEndWith('Restarting... (healthz did not answer within 5 s)');
  });

  test('leaves an agent alone that its owner has switched off', async () => {
    using machine = new Machine({ AGENT3_API_TOKEN: randomToken() });
    machine.tell('inactive', 'disabled');
    expect((await machine.check()).code).toBe(0);
    expect(machine.lines[0]).toContain('disabled');
    expect(machine.restarts).toBe(0);
  });

  test('writes through no link, reports on standard error instead, and names no token', async () => {
    await using agent = await startAgent();
    using machine = machineOf(agent);
    symlinkSync(machine.path('elsewhere'), machine.log);
    const { code, stderr } = await machine.check();
    expect(code).toBe(0);
    expect(stderr).toContain('Agent3 running OK');
    expect(existsSync(machine.path('elsewhere'))).toBe(false);
    expect(stderr).not.toContain(agent.token);
  });

  test('without a token says where it has to be', async () => {
    const { code, stderr } = await agent3(['watchdog', '--once', '--log', '-']);
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_API_TOKEN');
  });
});

describe('a schedule', () => {
  test('that is not a schedule is refused', async () => {
    const settings = { AGENT3_API_TOKEN: randomToken(), AGENT3_WATCHDOG_SCHEDULE: 'every day' };
    const { code, stderr } = await agent3(['watchdog', '--log', '-'], settings);
    expect(code).toBe(2);
    expect(stderr).toContain('AGENT3_WATCHDOG_SCHEDULE: "every day"');
  });

  test('is followed until SIGTERM', async () => {
    await using agent = await startAgent();
    const child = Bun.spawn([BINARY, 'watchdog', '--log', '-', '--recheck', '0', '--recovery', '0'], {
      env: {
        AGENT3_API_TOKEN: agent.token,
        AGENT3_PORT: String(agent.port),
        AGENT3_WATCHDOG_SCHEDULE: '* * * * * *',
        PATH: '/nowhere',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toMatch(/Agent3 not running/);
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
  });
});
