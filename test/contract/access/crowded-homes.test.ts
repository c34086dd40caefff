import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && ensurePrograms('bwrap', 'unshare').length === 0;

const SECRET = 'SUPERSECRET';
/** Of CPU, for the agent and all that a call starts: other tests run too. Before homes were bounded it was 4 s. */
const MOST_CPU_MS = 700;

/** The agent is in a mount namespace of its own, whose /home and /etc/passwd are the test's. */
describe.skipIf(!canTry)('what local users put into their homes', () => {
  const files = new TemporaryDirectory('/srv');
  const settings = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
  const tokens: Record<string, string> = {};
  let agent: Agent;

  /** Runs a script of sh where the agent is. */
  const inside = (script: string): string => {
    const words = ['nsenter', '-t', String(agent.pid), '-m', 'sh', '-euc', script];
    const { exitCode, stdout, stderr } = Bun.spawnSync(words);
    if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
    return stdout.toString();
  };
  const shell = async (profile: string, cmd: string): Promise<Record<string, unknown>> => {
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens[profile] ?? '' },
      body: JSON.stringify({ op: 'shell', args: { cmd, cwd: '/' } }),
    });
    return { http: response.status, ...((await response.json()) as object) };
  };

  /** utime, stime, cutime and cstime of proc(5), in ticks of 10 ms. */
  const cpuMs = (): number => {
    const fields = readFileSync(`/proc/${agent.pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
  };

  beforeAll(async () => {
    chmodSync(files.path, 0o755);
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    const put = (name: string, text: string): void =>
      writeFileSync(join(settings.AGENT3_PROFILES_DIR, `${name}.toml`), text);
    put('look', 'extends = "readonly"\nuser = "root"\nmask = false');
    put('home', 'extends = "workspace"\ndirectory = "/home/bert"\nmask = false');
    put('app', 'extends = "workspace"\ndirectory = "/home/anna/app"\nmask = false');
    put('keys', 'extends = "readonly"\nuser = "root"\nmask = false\nhide = ["/home/anna/many/*.key"]');
    agent = await startAgent(settings, ['unshare', '--mount', '--propagation', 'private']);
    inside('mount -t tmpfs -o mode=755 none /home');
    inside(`cp /etc/passwd ${files.join('passwd')}; mount --bind ${files.join('passwd')} /etc/passwd`);
    inside('mkdir -p /home/anna/app');
    for (const name of ['look', 'home', 'app', 'keys'])
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
  });
  beforeEach(() => {
    inside('find /home -mindepth 1 -delete; mkdir -p /home/anna/app; echo open > /home/anna/open');
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  const many = (count: number, name: string, directory = '/home/anna'): string =>
    `mkdir -p ${directory}; cd ${directory}; seq ${count} | while read i; do echo ${SECRET} > ${name.replaceAll('N', `$\{i}`)}; done`;
  const quick = (count: number, name: string, directory = '/home/anna'): string =>
    `mkdir -p ${directory}; cd ${directory}; seq -f '${name.replaceAll('N', '%.0f')}' ${count} | xargs touch; echo ${SECRET} > .bash_history`;

  const rows: readonly [what: string, script: string, shown: string][] = [
    ['a few histories', many(5, '.zN_history'), 'open\n'],
    ['as many histories as are hidden one by one', many(30, '.zN_history'), 'open\n'],
    ['more histories than that', many(31, '.zN_history'), ''],
    ['3,500 histories', many(3500, '.zN_history'), ''],
    ['100,000 files', quick(100_000, 'fN'), ''],
    ['100,000 histories', quick(100_000, '.fN_history'), ''],
    ['names that would be options', many(20, './--bind-N_history && echo x > ".--bind N_history"'), 'open\n'],
    ['a history that is a directory of 3,500', quick(3500, 'fN', '/home/anna/.x_history'), 'open\n'],
    ['a home closed to all', `${many(3, '.zN_history')}; chmod 0 /home/anna`, ''],
    ['300 homes with a secret each', 'for i in $(seq 300); do mkdir -p /home/u$i/.ssh; done', ''],
    ['2,000 empty homes', 'cd /home; seq 2000 | xargs mkdir', ''],
    [
      '10,000 lines of /etc/passwd',
      'seq -f "%.0f" 10000 | sed "s|.*|u&:x:1:1::/home/none/u&:/bin/sh|" >> /etc/passwd; touch /home',
      'open\n',
    ],
  ];
  test.each(rows)(
    'costs no sandbox its time: %s',
    async (_, script, shown) => {
      inside(script);
      const cmd = `cat /home/anna/open; cat /home/anna/.*_history /home/anna/.x_history/* /home/*/.ssh/* | grep ${SECRET}`;
      for (let call = 0; call < 3; call++) {
        const before = cpuMs();
        const answer = await shell('look', cmd);
        expect(cpuMs() - before).toBeLessThan(MOST_CPU_MS);
        expect(answer).toMatchObject({ http: 200, status: 'done', stdout: shown });
      }
    },
    60_000,
  );

  test('leaves a workspace in such a home', async () => {
    inside(many(3500, '.zN_history'));
    expect(await shell('app', 'touch /home/anna/app/mine && ls -A /home/anna')).toMatchObject({ stdout: 'app\n' });
    expect(inside('ls /home/anna/app')).toBe('mine\n');
  });

  test('is refused where all of it is a workspace, with the reason', async () => {
    inside(many(40, '.zN_history', '/home/bert'));
    const message = expect.stringContaining('has more than 30 names like .*_history');
    expect(await shell('home', 'true')).toMatchObject({ http: 503, message });
  });

  test('a directory that a profile hides too much in is hidden as a whole', async () => {
    inside(many(500, 'N.key', '/home/anna/many'));
    expect(await shell('keys', 'ls -A /home/anna/many; cat /home/anna/open')).toMatchObject({ stdout: 'open\n' });
  });

  test('a home that changes all the time is read in bounded time', async () => {
    inside(quick(5000, 'fN'));
    const churn = Bun.spawn(
      ['nsenter', '-t', String(agent.pid), '-m', 'sh', '-c', 'while :; do echo > /home/anna/a; rm /home/anna/a; done'],
      { stdout: 'ignore' },
    );
    try {
      for (let call = 0; call < 20; call++) {
        const before = cpuMs();
        expect(await shell('look', 'cat /home/anna/.bash_history')).toMatchObject({ http: 200, stdout: '' });
        expect(cpuMs() - before).toBeLessThan(MOST_CPU_MS);
      }
    } finally {
      churn.kill();
      await churn.exited;
    }
  }, 60_000);
});
