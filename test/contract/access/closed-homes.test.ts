import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { command, ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const canTry = isRoot && ensurePrograms('bwrap', 'unshare').length === 0;

const SECRET = 'SUPERSECRET';
/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
const DAEMON = 1;
const NOBODY = 65_534;

/** The agent is in a mount namespace of its own, whose /home and /etc/passwd are the test's. */
describe.skipIf(!canTry).each([
  ['root', 0],
  ['daemon', DAEMON],
])('homes that an agent of %s may not enter', (_, uid) => {
  const files = new TemporaryDirectory('/srv');
  const settings = { AGENT3_TOKENS_FILE: files.join('own/tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
  const tokens: Record<string, string> = {};
  let agent: Agent;

  /** Runs a script of sh where the agent is. */
  const inside = (script: string): void => {
    const words = ['nsenter', '-t', String(agent.pid), '-m', 'sh', '-euc', script];
    const { exitCode, stderr } = Bun.spawnSync(words);
    if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
  };
  const shell = async (profile: string, cmd: string): Promise<Record<string, unknown>> => {
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens[profile] ?? '' },
      body: JSON.stringify({ op: 'shell', args: { cmd, cwd: '/' } }),
    });
    return { http: response.status, ...((await response.json()) as object) };
  };

  beforeAll(async () => {
    chmodSync(files.path, 0o755);
    for (const name of ['own', 'profiles.d', 'work']) mkdirSync(files.join(name));
    const work = `extends = "workspace"\ndirectory = "${files.join('work')}"\nmask = false`;
    writeFileSync(join(settings.AGENT3_PROFILES_DIR, 'work.toml'), work);
    writeFileSync(join(settings.AGENT3_PROFILES_DIR, 'look.toml'), 'extends = "readonly"\nmask = false');
    const asRoot = uid === 0 ? '\nuser = "root"' : '';
    writeFileSync(join(settings.AGENT3_PROFILES_DIR, 'root.toml'), `extends = "readonly"\nmask = false${asRoot}`);
    for (const name of ['work', 'look', 'root'])
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
    for (const name of ['own', 'work']) command(['chown', '-R', `${uid}:${uid}`, files.join(name)]);
    const become = uid === 0 ? [] : ['sh', '-c', BECOME, String(uid)];
    agent = await startAgent(settings, ['unshare', '--mount', '--propagation', 'private', ...become]);
    inside('mount -t tmpfs -o mode=755 none /home');
    inside(`cp /etc/passwd ${files.join('passwd')}; mount --bind ${files.join('passwd')} /etc/passwd`);
    command(['cp', '/etc/passwd', files.join('passwd.before')]);
  });
  beforeEach(() => {
    inside(`find /home -mindepth 1 -delete; cat ${files.join('passwd.before')} > ${files.join('passwd')}`);
    inside(`mkdir -p /home/anna/.ssh /home/anna/.config/gcloud; echo ${SECRET} > /home/anna/.ssh/id_rsa`);
    inside(`echo ${SECRET} > /home/anna/.config/gcloud/credentials.db; chown -R ${NOBODY} /home/anna`);
    inside('chmod 700 /home/anna/.ssh; mkdir /home/bert; echo open > /home/bert/open');
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  const passwd = (home: string): string => `echo "zoe:x:7777:7777::${home}:/bin/sh" >> /etc/passwd`;
  const long = 'x'.repeat(300);
  const rows: readonly [what: string, script: string][] = [
    ['listed and not entered', 'chmod 744 /home/anna'],
    ['entered and not listed', 'chmod 711 /home/anna'],
    ['closed', 'chmod 700 /home/anna'],
    ['closed to all', 'chmod 0 /home/anna'],
    ['with a directory that is listed and not entered', 'chmod 744 /home/anna/.config'],
    ['with a directory in it that is closed', 'chmod 700 /home/anna/.config'],
    ['with a group that may enter', 'chmod 750 /home/anna; chgrp nogroup /home/anna'],
    ['that are links into a closed one', 'chmod 700 /home/anna; ln -s anna/.config /home/carl'],
    ['with a secret that is a link into a closed one', 'chmod 700 /home/anna; ln -s ../anna/.config /home/bert/.ssh'],
    [
      'below a closed directory',
      `mkdir -p /home/far/zoe/.ssh; chown -R ${NOBODY}:${NOBODY} /home/far; chmod 750 /home/far; ${passwd('/home/far/zoe')}`,
    ],
    ['that are files', 'echo > /home/carl'],
    ['below a file', `echo > /home/carl; ${passwd('/home/carl/zoe')}`],
    ['that lead in a circle', `ln -s carl /home/carl; ${passwd('/home/carl/zoe')}`],
    ['with a secret that leads in a circle', 'ln -s .ssh /home/bert/.ssh; ln -s .config /home/bert/.config'],
    ['of a name that is too long', passwd(`/home/${long}`)],
    ['of a path that is too long', passwd(`/home/${'y/'.repeat(3000)}zoe`)],
    ['with a link to a name that is too long', `ln -s ${long} /home/bert/.ssh; ln -s ${long} /home/carl`],
  ];
  describe.each(rows)('%s', (_, script) => {
    test.each(['look', 'root', 'work'])('keep no command of %s from running', async (profile) => {
      inside(script);
      const cmd = `cat /home/bert/open; cat /home/*/.ssh/id_rsa /home/anna/.config/*/* | grep ${SECRET}`;
      expect(await shell(profile, cmd)).toMatchObject({ http: 200, status: 'done', stdout: 'open\n' });
    });
  });
});
