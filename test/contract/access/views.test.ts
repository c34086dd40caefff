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
/** A view is made again after this time for what no directory shows: a mount. */
const FRESH_MS = 5100;

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
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': token },
      body: JSON.stringify({ op: 'shell', args: { cmd: 'id -u; cat ~/open; ls -A ~' } }),
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

  describe('of /etc', () => {
    const ask = async (cmd: string): Promise<string> => {
      const response = await fetch(`${agent.url}/`, {
        method: 'POST',
        headers: { 'x-auth-token': token },
        body: JSON.stringify({ op: 'shell', args: { cmd } }),
      });
      return String(((await response.json()) as { stdout?: string }).stdout);
    };
    const SWAN = '/etc/swanctl';
    const CONF = `${SWAN}/other.conf`;
    beforeAll(() => {
      // A tmpfs over a copy: what is made here is gone with the agent.
      inside(`cp -a /etc ${files.join('etc')}; mount --bind ${files.join('etc')} /etc`);
      inside(`mount --bind ${files.join('passwd')} /etc/passwd; mount --bind ${files.join('group')} /etc/group`);
      inside(`mkdir -m 755 ${SWAN} ${SWAN}/private; echo shown > ${CONF}; chmod 644 ${CONF}`);
    });
    const closed: readonly [how: string, close: string, open: string][] = [
      ['its modes', `chmod 700 ${SWAN}`, `chmod 755 ${SWAN}`],
      ['an access control list', `setfacl -m u:${ZOE}:--- ${SWAN}`, `setfacl -b ${SWAN}`],
      [
        'a new directory',
        `rm -r ${SWAN}; mkdir -m 700 ${SWAN}; mkdir ${SWAN}/private; echo shown > ${CONF}`,
        `chmod 755 ${SWAN}`,
      ],
    ];
    test.each(closed)('keeps a directory closed by %s at once', async (_, close, open) => {
      expect(await ask(`cat ${CONF}`)).toBe('shown\n');
      expect(inside(close)).toBe('');
      expect(inside(`cat ${CONF}`, ZOE)).toContain('Permission denied');
      expect(await ask(`cat ${CONF}; echo asked`)).toBe('asked\n');
      inside(open);
    });

    test('has what is mounted in it, and is no other user’s to enter', async () => {
      inside(
        `mkdir /etc/mounted; touch /etc/mounted/covered; mount -t tmpfs none /etc/mounted; echo x > /etc/mounted/file`,
      );
      await Bun.sleep(FRESH_MS);
      expect(await ask('ls /etc/mounted; grep -c ^zoe: /etc/passwd')).toBe('file\n1\n');
      const found = inside(
        `cd /run/agent3-views/${agent.pid}; ls -d view-*/hostname */view-*/hostname 2> /dev/null`,
      ).trim();
      const [view = '', ...others] = found.split('\n');
      expect({ view, others }).toEqual({ view: expect.stringContaining(`of-${ZOE}/view-`), others: expect.anything() });
      expect(others.filter((other) => !other.startsWith(`of-${ZOE}/`))).toEqual([]);
      const path = `/run/agent3-views/${agent.pid}/${view}`;
      expect(inside(`cat ${path}`, OTHER)).toBe(`cat: ${path}: Permission denied\n`);
    });
  });

  test('goes with the agent', async () => {
    const { pid } = agent;
    expect(await agent.stop()).toBe(0);
    expect(Bun.spawnSync(['ls', `/run/agent3-views/${pid}`]).exitCode).not.toBe(0);
  });
});
