import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && ensurePrograms('bwrap', 'unshare').length === 0;

const ZOE = 7777;
const OTHER = 7778;

/**
 * An agent of root mounts what sandboxes see below /run. The directory above this home lets no other user pass; the home
 * itself is open. The agent is in a mount namespace of its own, whose /home and /etc/passwd are the test's.
 */
describe.skipIf(!canTry)('the view of a home below a closed directory', () => {
  const files = new TemporaryDirectory('/srv');
  const settings = { AGENT3_TOKENS_FILE: files.join('own/tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
  let agent: Agent;
  let token: string;

  /** What a script of sh says where the agent is, run by the user with this number. */
  const inside = (script: string, uid = 0): string => {
    const as = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--inh-caps=-all'];
    // Two shells: the first is started while chroot still has the rights of root.
    const argv = ['nsenter', '-t', String(agent.pid), '-m', ...as, 'sh', '-c', 'sh -c "$0"; :', script];
    const { stdout, stderr } = Bun.spawnSync(argv);
    return stdout.toString() + stderr.toString();
  };

  beforeAll(async () => {
    chmodSync(files.path, 0o755);
    for (const name of ['own', 'profiles.d']) mkdirSync(files.join(name));
    writeFileSync(join(settings.AGENT3_PROFILES_DIR, 'zoe.toml'), 'extends = "readonly"\nuser = "zoe"\nmask = false');
    token = (await agent3(['token', 'create', 'zoe', '--profile', 'zoe'], settings)).stdout.trim();
    agent = await startAgent(settings, ['unshare', '--mount', '--propagation', 'private']);
    const passwd = files.join('passwd');
    inside(`mount -t tmpfs -o mode=755 none /home; mkdir -p /home/far/zoe/.ssh; echo open > /home/far/zoe/open
      chown -R ${ZOE}:${ZOE} /home/far; chown root /home/far; chmod 750 /home/far
      { cat /etc/passwd; echo "zoe:x:${ZOE}:${ZOE}::/home/far/zoe:/bin/sh"; } > ${passwd}; mount --bind ${passwd} /etc/passwd
      { cat /etc/group; echo "zoe:x:${ZOE}:"; } > ${files.join('group')}; mount --bind ${files.join('group')} /etc/group`);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  test('is there for the commands of its user, and for no other user of the machine', async () => {
    const response = await fetch(`${agent.url}/shell`, {
      method: 'POST',
      headers: { 'x-auth-token': token },
      body: JSON.stringify({ cmd: 'id -u; cat ~/open; ls -A ~' }),
    });
    expect(await response.json()).toMatchObject({ status: 'done', stdout: '7777\nopen\nopen\n' });
    const place = `/run/agent3-views/${agent.pid}`;
    const views = inside(`ls -d ${place}/view-*/open ${place}/*/view-*/open 2> /dev/null`).trim().split('\n');
    expect(views).toEqual([expect.stringContaining(`/of-${ZOE}/view-`)]);
    const [view = ''] = views;
    expect(inside(`cat ${view}`, ZOE)).toBe('open\n');
    for (const path of [view, '/home/far/zoe/open'])
      expect(inside(`cat ${path}`, OTHER)).toBe(`cat: ${path}: Permission denied\n`);
    // What the view is made of is root's, and its user cannot put anything else in its place.
    expect(
      inside(`cd ${place}; ls layers; touch of-${ZOE}/x; ls of-${ZOE}`, ZOE).match(/Permission denied/g),
    ).toHaveLength(3);
  });

  test('goes with the agent', async () => {
    const { pid } = agent;
    expect(await agent.stop()).toBe(0);
    expect(Bun.spawnSync(['ls', `/run/agent3-views/${pid}`]).exitCode).not.toBe(0);
  });
});
