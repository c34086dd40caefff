import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { LOOK_USER } from '../../../src/lib/look-user.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'gcc');
const canTry = isRoot && missing.length === 0;

/** Says who ran it, and where: a library or a program that must not run outside of the isolation. */
const LIBRARY = `#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <fcntl.h>
__attribute__((constructor)) static void ran(void) {
  char *file = getenv("EVIDENCE");
  if (file) close(open(file, O_CREAT | O_WRONLY, 0666));
}`;

describe.skipIf(!canTry)('the programs that isolate a command take nothing from a client:', () => {
  // Not below /tmp, which is another one inside.
  const place = `/srv/agent3-isolation-${process.pid}`;
  const work = join(place, 'work');
  const outside = join(place, 'outside');
  const evidence = join(outside, 'evidence');
  const files = new TemporaryDirectory();
  const tokens: Record<string, string> = {};
  let agent: Agent;

  beforeAll(async () => {
    for (const path of [work, outside]) mkdirSync(path, { recursive: true });
    chmodSync(place, 0o755);
    for (const path of [work, outside]) chmodSync(path, 0o777);
    writeFileSync(join(place, 'library.c'), LIBRARY);
    const made = Bun.spawnSync(['gcc', '-shared', '-fPIC', '-o', join(place, 'library.so'), join(place, 'library.c')]);
    expect(made.exitCode).toBe(0);
    for (const program of ['bwrap', 'chroot', 'prlimit', 'sh', 'cat', 'bash']) {
      writeFileSync(join(work, program), `#!/bin/bash -p\nid -un > ${evidence}\n`, { mode: 0o755 });
    }
    const settings = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    const put = (name: string, text: string): void =>
      writeFileSync(join(settings.AGENT3_PROFILES_DIR, `${name}.toml`), text);
    put('work', `extends = "workspace"\ndirectory = "${work}"`);
    put('other', 'extends = "full"\nuser = "nobody"\n[limits]\nfile_mib = 1');
    put('both', `extends = "workspace"\ndirectory = "${work}"\nuser = "nobody"`);
    put('limited', 'extends = "full"\n[limits]\nmemory_mib = 32');
    for (const name of ['work', 'other', 'both', 'limited', 'readonly']) {
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
    }
    agent = await startAgent(settings);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    rmSync(place, { recursive: true, force: true });
  });

  const shellAs = async (profile: string, args: object): Promise<Record<string, unknown>> => {
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens[profile] ?? '' },
      body: JSON.stringify({ op: 'shell', args }),
    });
    return { http: response.status, ...((await response.json()) as object) };
  };

  test.each(['readonly', 'work', 'both', 'other'])('%s has the devices that every program uses', async (profile) => {
    const cmd = `set -e; echo gone > /dev/null; echo x | xargs echo; head -c 2 /dev/zero | wc -c
head -c 2 /dev/urandom | wc -c; cat < /dev/null; ls /nowhere 2> /dev/null || echo quiet`;
    const answer = await shellAs(profile, { cmd, cwd: '/' });
    expect(answer).toMatchObject({ exit_code: 0, stdout: 'x\n2\n2\nquiet\n', stderr: '' });
  });

  test.each(['readonly', 'work'])(
    '%s leaves the devices of the machine as they are, also for root',
    async (profile) => {
      const cmd =
        'for name in null zero tty urandom; do chmod 644 /dev/$name; chown 1 /dev/$name; done; stat -c %a /dev/null';
      try {
        expect(await shellAs(profile, { cmd, cwd: '/' })).toMatchObject({ stdout: '666\n' });
        for (const name of ['null', 'zero', 'tty', 'urandom']) {
          const { mode, uid } = statSync(`/dev/${name}`);
          expect([name, mode & 0o777, uid]).toEqual([name, 0o666, 0]);
        }
      } finally {
        for (const name of ['null', 'zero', 'tty', 'urandom']) {
          chmodSync(`/dev/${name}`, 0o666);
          chownSync(`/dev/${name}`, 0, statSync(`/dev/${name}`).gid);
        }
      }
    },
  );

  const variables: readonly (readonly [name: string, value: string])[] = [
    ['LD_PRELOAD', join(place, 'library.so')],
    ['LD_AUDIT', join(place, 'library.so')],
    ['PATH', `${work}:/usr/bin:/bin`],
    ['BASH_ENV', join(work, 'sh')],
    ['ENV', join(work, 'sh')],
  ];
  const rows = ['readonly', 'work', 'both', 'other'].flatMap((profile) =>
    variables.flatMap(([name, value]) =>
      [false, true].map((background) => [profile, name, value, background] as const),
    ),
  );
  test.each(rows)('%s, %s=%s, in the background: %p', async (profile, name, value, background) => {
    // As nobody, evidence may be left inside the isolation, where it is no other than what a command may do itself.
    const inside = profile === 'other' ? { EVIDENCE: '/dev/null' } : { EVIDENCE: evidence };
    const run = async () => {
      const call = { cmd: 'id -un', cwd: '/', env: { [name]: value, ...inside }, background };
      const answer = await shellAs(profile, call);
      expect(answer['http']).toBe(200);
      const { session } = answer;
      return await eventually('it has ended', async () => {
        const response = await fetch(`${agent.url}/`, {
          method: 'POST',
          headers: { 'x-auth-token': tokens[profile] ?? '' },
          body: JSON.stringify({ op: 'read_session', args: { session, wait: 5 } }),
        });
        const now = (await response.json()) as { status: string };
        return now.status !== 'running' && now;
      });
    };
    let ended = await run();
    // What is hidden, here by other tests, may change while the sandbox is made: then nothing was run.
    if (ended.status === 'denied') ended = await run();
    expect(ended).toMatchObject({ status: 'done' });
    if (existsSync(evidence)) {
      // The command's own shell may run what it likes, as the user of the profile.
      expect(profile).toBe('other');
      expect((await Bun.file(evidence).text()).trim()).toBe('nobody');
    }
    rmSync(evidence, { force: true });
  });

  test('a working directory that the sandbox has not is told, and which call comes next', async () => {
    using inTmp = new TemporaryDirectory();
    const answer = await shellAs('work', { cmd: 'echo ran', cwd: inTmp.path });
    expect(answer).toMatchObject({ http: 503, error: 'Not available' });
    expect(answer['message']).toBe(
      `Nothing was run: there is no directory "${inTmp.path}" for the commands of this token (their /tmp, /var/tmp and /run begin empty, and some directories are hidden). Call shell again with another cwd.`,
    );
  });

  test('a path that is not a directory is refused as cwd, unless that would reveal what is hidden', async () => {
    const link = join(place, 'to-hidden');
    symlinkSync('/var/backups', link);
    for (const profile of ['readonly', 'work']) {
      for (const cwd of [join(place, 'none', 'deeper'), '/etc/passwd']) {
        // What the agent sees says nothing of what another user sees.
        const refused = { http: 400, error: 'Invalid args' };
        const told = { http: 503, message: expect.stringContaining('Nothing was run: there is no directory') };
        expect(await shellAs(profile, { cmd: 'true', cwd })).toMatchObject(profile === 'work' ? refused : told);
      }
      // Names that would be hidden, and that nothing bears.
      const unborn = [
        '/root/.agent3-none/../.azure',
        '/root/.azure',
        '/root/.config/doctl/x',
        '/etc/ssh/ssh_host_x_key',
      ];
      for (const cwd of ['/var/backups/none', join(link, 'none'), '/tmp/none', '/run/none', ...unborn]) {
        const { http, message } = await shellAs(profile, { cmd: 'true', cwd });
        expect([cwd, http, message]).toEqual([cwd, 503, expect.stringContaining('Nothing was run: there is no dir')]);
      }
      expect(await shellAs(profile, { cmd: 'pwd', cwd: outside })).toMatchObject({ stdout: `${outside}\n` });
    }
    rmSync(link);
  });

  test('a program that writes more than a file may hold is told so', async () => {
    const answer = await shellAs('other', { cmd: 'cd "$(mktemp -d)" && head -c 2000000 /dev/zero > large', cwd: '/' });
    expect(answer).toMatchObject({ http: 200, status: 'done', exit_code: 153 });
    expect(answer['message']).toContain('wrote more than a file may hold here (1 MiB)');
  });

  test.each(['readonly', 'work', 'both', 'other'])(
    '%s: the environment reaches the command, whole',
    async (profile) => {
      const env = { PLAIN: 'x', QUOTED: `it's "quoted" $HOME \`id\`\n\\ `, EMPTY: '', LD_PRELOAD: '' };
      const cmd = 'for n in PLAIN QUOTED EMPTY HOME USER; do echo "$n=[$(printenv $n)]"; done; ls /proc/self/fd';
      const { stdout } = await shellAs(profile, { cmd, env, cwd: '/' });
      const users: Record<string, string> = { both: 'nobody', other: 'nobody', readonly: LOOK_USER };
      const user = users[profile] ?? 'root';
      const home = user === 'root' ? '/root' : '/nonexistent';
      expect(stdout).toBe(`PLAIN=[x]\nQUOTED=[${env.QUOTED}]\nEMPTY=[]\nHOME=[${home}]\nUSER=[${user}]\n0\n1\n2\n3\n`);
    },
  );

  test('a user of its own enters only where that user may', async () => {
    const closed = join(place, 'closed');
    mkdirSync(join(closed, 'open'), { recursive: true });
    writeFileSync(join(closed, 'open', 'secret'), 'SECRET');
    chmodSync(closed, 0o700);
    for (const cwd of [join(closed, 'open'), join(closed, 'none')]) {
      const answer = await shellAs('other', { cmd: 'cat ./secret', cwd });
      expect(answer).toMatchObject({
        http: 503,
        message: 'Nothing was run: the user of this profile cannot enter the working directory.',
      });
    }
  });

  test('names that a shell does not know are refused where they would have to pass one', async () => {
    for (const profile of ['other', 'readonly']) {
      for (const name of ['BASH_FUNC_cd%%', 'a.b', '1a'])
        expect(await shellAs(profile, { cmd: 'true', cwd: '/', env: { [name]: '() { id; }' } })).toMatchObject({
          http: 400,
          error: 'Invalid args',
          message: expect.stringMatching(
            /^env has the name "\S+": .*Set it in the command instead: env 'NAME=VALUE' PROGRAM;/,
          ),
        });
      // What the message says to do.
      const cmd = "cd() { echo a function; }; cd; env 'a.b=odd' printenv a.b";
      expect(await shellAs(profile, { cmd, cwd: '/' })).toMatchObject({ stdout: 'a function\nodd\n' });
    }
  });

  test('what is hidden in /etc stays so when it is replaced, and when it is new', async () => {
    const cmd = 'cat /etc/shadow /etc/nshadow; echo; sleep 1; cat /etc/shadow /etc/nshadow; ls /etc/passwd';
    const answer = shellAs('readonly', { cmd, cwd: '/' });
    await Bun.sleep(500);
    copyFileSync('/etc/shadow', '/etc/nshadow');
    copyFileSync('/etc/shadow', `/etc/shadow.${process.pid}`);
    chmodSync('/etc/nshadow', 0o600);
    const { mode, uid, gid } = statSync('/etc/shadow');
    chmodSync(`/etc/shadow.${process.pid}`, mode & 0o7777);
    chownSync(`/etc/shadow.${process.pid}`, uid, gid);
    renameSync(`/etc/shadow.${process.pid}`, '/etc/shadow');
    const { stdout } = await answer;
    rmSync('/etc/nshadow');
    expect(stdout).toBe('\n/etc/passwd\n');
  });

  test('a directory that is hidden takes nothing that would then be lost', async () => {
    for (const profile of ['readonly', 'work', 'both']) {
      const cmd = 'ls -A /var/backups; touch /var/backups/mine; echo $?';
      expect(await shellAs(profile, { cmd, cwd: '/' })).toMatchObject({
        stdout: '1\n',
        stderr: expect.stringMatching(/mine': (Permission denied|Read-only file system)\n$/),
      });
    }
  });

  test('the umask of who starts an agent closes nothing that its sandboxes need', async () => {
    const script = 'umask 077; exec "$0" profile check "$1"';
    const file = files.join('masked.toml');
    writeFileSync(file, 'extends = "readonly"\nuser = "nobody"');
    const { exitCode, stdout } = Bun.spawnSync(['sh', '-c', script, BINARY, file], { env: BASE_ENVIRONMENT });
    expect({ exitCode, stdout: stdout.toString() }).toEqual({ exitCode: 0, stdout: expect.stringContaining('✓') });
  });

  test('profile check names the link that a workspace lies behind', async () => {
    const linked = join(place, 'linked');
    symlinkSync(work, linked);
    const file = files.join('linked.toml');
    writeFileSync(file, `extends = "workspace"\ndirectory = "${linked}"`);
    expect(await agent3(['profile', 'check', file])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(
        `the directory ${linked} is, or lies behind, a symbolic link: write ${work}, where it really is`,
      ),
    });
    rmSync(linked);
  });

  test('a workspace that has become a link is not entered', async () => {
    expect(await shellAs('work', { cmd: 'touch here' })).toMatchObject({ http: 200, exit_code: 0 });
    renameSync(work, `${work}-away`);
    symlinkSync('/etc', work);
    const answer = await shellAs('work', { cmd: 'touch agent3-link' });
    rmSync(work);
    renameSync(`${work}-away`, work);
    expect(existsSync('/etc/agent3-link')).toBe(false);
    expect(answer).toMatchObject({ http: 503, message: expect.stringContaining('a symbolic link') });
  });

  test('limits that nothing would hold a command to are no reason to run it without', async () => {
    expect(await shellAs('limited', { cmd: 'true' })).toMatchObject({
      http: 503,
      message: expect.stringContaining('has no cgroup to enforce that'),
    });
  });
});
