import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && ensurePrograms('bwrap', 'unshare').length === 0;

const SECRET = 'SUPERSECRET';
const USER = 5;
const NEW = ['.netrc', '.aws/credentials', '.config/gh/hosts.yml', '.local/share/keyrings/login', '.bash_history'];

/** The agents are in mount namespaces of their own, whose homes are the test's. */
describe.skipIf(!canTry).each([
  ['root', '/root'],
  ['a user', '/home/anna'],
])('for an agent that runs as %s, what comes to be at a hidden name in its home', (kind, home) => {
  const files = new TemporaryDirectory('/srv');
  const settings = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
  const tokens: Record<string, string> = {};
  let agent: Agent;

  const inside = (script: string): void => {
    const { exitCode, stderr } = Bun.spawnSync(['nsenter', '-t', String(agent.pid), '-m', 'sh', '-euc', script]);
    if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
  };
  const shell = async (profile: string, cmd: string): Promise<Record<string, unknown>> => {
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens[profile] ?? '' },
      body: JSON.stringify({ op: 'shell', args: { cmd } }),
    });
    return { http: response.status, ...((await response.json()) as object) };
  };

  beforeAll(async () => {
    chmodSync(files.path, 0o755);
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    const put = (name: string, text: string): void =>
      writeFileSync(join(settings.AGENT3_PROFILES_DIR, `${name}.toml`), text);
    put('look', `extends = "readonly"\nmask = false\n${kind === 'root' ? 'user = "root"' : ''}`);
    put('work', `extends = "workspace"\nmask = false\ndirectory = "${home}/app"`);
    for (const name of ['look', 'work'])
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
    chmodSync(settings.AGENT3_TOKENS_FILE, 0o644);
    copyFileSync(BINARY, files.join('agent3'));
    const lay = `mkdir -p ${home}/app ${home}/seen ${home}/.config; echo kept > ${home}/kept; echo kept > ${home}/app/kept; ln -s kept ${home}/link`;
    const mounts =
      kind === 'root'
        ? `mount -t tmpfs none /root; ${lay}`
        : `mount -t tmpfs -o mode=755 none /home; echo 'anna:x:${USER}:60::/home/anna:/bin/sh' > ${files.join('passwd')}; grep -v :${USER}: /etc/passwd >> ${files.join('passwd')}; mount --bind ${files.join('passwd')} /etc/passwd; ${lay}; chown -R ${USER}:60 /home/anna "$AGENT3_SESSIONS_DIR"; chmod 755 /home/anna`;
    const become = kind === 'root' ? '' : `setpriv --reuid ${USER} --regid 60 --clear-groups`;
    const script = `cd /; ${mounts}; exec ${become} ${files.join('agent3')} serve`;
    agent = await startAgent(settings, ['unshare', '--mount', '--propagation', 'private', 'sh', '-euc', script]);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  test.each(['look', 'work'])('is not seen in %s by a command that runs', async (profile) => {
    const paths = NEW.map((path) => `~/${path}`).join(' ');
    const cmd = `for i in $(seq 20); do cat ${paths} 2> /dev/null; sleep 0.1; done; cat ~/kept ~/link ~/app/kept; ls -A ~/.config`;
    const answer = shell(profile, cmd);
    await Bun.sleep(700);
    for (const path of NEW)
      inside(`cd ${home}; mkdir -p $(dirname ${path}); echo ${SECRET} > ${path}; chmod 644 ${path}`);
    const { stdout, http } = await answer;
    inside(`cd ${home}; rm -rf ${NEW.join(' ')} .aws .local .config/gh`);
    expect({ http, stdout }).toEqual({ http: 200, stdout: 'kept\nkept\nkept\n' });
  });

  test.each(['look', 'work'])('is not seen in %s by the next command either', async (profile) => {
    for (const path of NEW)
      inside(`cd ${home}; mkdir -p $(dirname ${path}); echo ${SECRET} > ${path}; chmod 644 ${path}`);
    const answer = await shell(profile, `cat ${NEW.map((path) => `~/${path}`).join(' ')}; cat ~/kept`);
    expect(answer).toMatchObject({ http: 200, stdout: 'kept\n' });
  });

  test('leaves the home as it is for reading, and takes nothing', async () => {
    const answer = await shell('look', 'chmod 777 ~; echo x > ~/mine; ls ~; test -d ~/seen && echo there');
    expect(answer).toMatchObject({ http: 200, stdout: 'app\nkept\nlink\nseen\nthere\n' });
  });

  test('leaves a workspace in the home', async () => {
    expect(await shell('work', 'echo mine > ~/app/mine; cat ~/app/mine')).toMatchObject({ stdout: 'mine\n' });
    inside(`grep -q mine ${home}/app/mine`);
  });
});
