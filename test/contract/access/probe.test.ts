import { expect, test } from 'bun:test';
import { chmodSync, copyFileSync, existsSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const BUBBLEWRAP = '/usr/bin/bwrap';

/** Calls with a token, as `agent3 token create` prints it. */
const callerOf = (agent: Agent, printed: string) => (op: string, args: object) =>
  agent.request('/', {
    method: 'POST',
    headers: { 'x-auth-token': printed.trim() },
    body: JSON.stringify({ op, args }),
  });

test.skipIf(process.geteuid?.() !== 0 || !existsSync(BUBBLEWRAP))(
  'a sandbox is tried when the agent starts, while it answers other calls; one that needs it waits',
  async () => {
    using directory = new TemporaryDirectory();
    const [profiles, real, slow, tried, go] = ['profiles.d', 'bwrap', 'slow', 'tried', 'go'].map((name) =>
      directory.join(name),
    );
    if (!profiles || !real || !slow || !tried || !go) throw new Error('five names');
    chmodSync(directory.path, 0o755);
    mkdirSync(profiles);
    writeFileSync(`${profiles}/reader.toml`, 'extends = "readonly"\n');
    copyFileSync(BUBBLEWRAP, real);
    writeFileSync(tried, '');
    chmodSync(tried, 0o666);
    writeFileSync(
      slow,
      `#!/bin/sh\necho tried >> ${tried}\nuntil [ -e ${go} ]; do sleep 0.05; done\nexec ${real} "$@"\n`,
    );
    for (const program of [real, slow]) chmodSync(program, 0o755);
    const settings = { AGENT3_TOKENS_FILE: directory.join('tokens.json'), AGENT3_PROFILES_DIR: profiles };
    const made = await agent3(['token', 'create', 'reader', '--profile', 'reader'], settings);
    const slowly = `mount --bind ${slow} ${BUBBLEWRAP} && exec "$@"`;
    await using agent = await startAgent(settings, ['unshare', '-m', 'sh', '-c', slowly, 'sh']);
    const call = callerOf(agent, made.stdout)('shell', { cmd: 'echo inside' });
    await eventually('it is being tried', () => Bun.file(tried).size > 0);
    // With the only thread waiting for bubblewrap, this would come when bubblewrap was given up, and the call refused.
    expect(await agent.shell({ cmd: 'echo beside' })).toMatchObject({ stdout: 'beside\n' });
    writeFileSync(go, '');
    expect(await call).toMatchObject({ status: 200, body: { stdout: 'inside\n' } });
    // Once at the start of the agent, and once for the command: the call waited for the first.
    expect(await Bun.file(tried).text()).toBe('tried\ntried\n');
  },
);

test.skipIf(process.geteuid?.() !== 0 || !existsSync(BUBBLEWRAP))(
  'a command and a file are tried once again when what the sandbox hides goes while it is made',
  async () => {
    using directory = new TemporaryDirectory('/srv');
    const [profiles, real, hasty, armed, secret] = ['profiles.d', 'bwrap', 'hasty', 'armed', 'secret'].map((name) =>
      directory.join(name),
    );
    if (!profiles || !real || !hasty || !armed || !secret) throw new Error('five names');
    // Commands of any user may remove there what the wrapper removes.
    chmodSync(directory.path, 0o777);
    mkdirSync(profiles);
    writeFileSync(`${profiles}/reader.toml`, `extends = "readonly"\nhide = ["${secret}"]\n`);
    copyFileSync(BUBBLEWRAP, real);
    writeFileSync(hasty, `#!/bin/sh\n[ -e ${armed} ] && rm ${armed} && rmdir ${secret}\nexec ${real} "$@"\n`);
    for (const program of [real, hasty]) chmodSync(program, 0o755);
    const settings = { AGENT3_TOKENS_FILE: directory.join('tokens.json'), AGENT3_PROFILES_DIR: profiles };
    const made = await agent3(['token', 'create', 'reader', '--profile', 'reader'], settings);
    const hastily = `mount --bind ${hasty} ${BUBBLEWRAP} && exec "$@"`;
    await using agent = await startAgent(settings, ['unshare', '-m', 'sh', '-c', hastily, 'sh']);
    const call = callerOf(agent, made.stdout);
    const shown = directory.join('shown');
    writeFileSync(shown, 'shown\n');
    mkdirSync(secret);
    expect(await call('shell', { cmd: 'echo inside' })).toMatchObject({ status: 200, body: { stdout: 'inside\n' } });
    for (const [op, args, body] of [
      ['shell', { cmd: 'echo again' }, { stdout: 'again\n' }],
      ['read_file', { path: shown }, { content: 'shown\n' }],
      ['download', { path: shown }, { bytes: 6 }],
    ] as const) {
      if (!existsSync(secret)) mkdirSync(secret);
      expect((await call('shell', { cmd: 'true' })).status).toBe(200);
      writeFileSync(armed, '');
      expect([op, await call(op, args)]).toMatchObject([op, { status: 200, body }]);
      expect([existsSync(armed), existsSync(secret)]).toEqual([false, false]);
    }
  },
);

test.skipIf(process.geteuid?.() !== 0 || !existsSync(BUBBLEWRAP))(
  'a sandbox that failed while what it hides was changing is tried by the very next call',
  async () => {
    using directory = new TemporaryDirectory('/srv');
    const [profiles, real, failing, armed, secret] = ['profiles.d', 'bwrap', 'failing', 'armed', 'secret'].map((name) =>
      directory.join(name),
    );
    if (!profiles || !real || !failing || !armed || !secret) throw new Error('five names');
    chmodSync(directory.path, 0o777);
    mkdirSync(profiles);
    writeFileSync(`${profiles}/reader.toml`, `extends = "readonly"\nhide = ["${secret}"]\n`);
    copyFileSync(BUBBLEWRAP, real);
    const fail = `{ rmdir ${secret} 2> /dev/null || mkdir ${secret}; echo 'bwrap: no' >&2; exit 1; }`;
    writeFileSync(failing, `#!/bin/sh\n[ -e ${armed} ] && ${fail}\nexec ${real} "$@"\n`);
    for (const program of [real, failing]) chmodSync(program, 0o755);
    const settings = { AGENT3_TOKENS_FILE: directory.join('tokens.json'), AGENT3_PROFILES_DIR: profiles };
    const made = await agent3(['token', 'create', 'reader', '--profile', 'reader'], settings);
    const unluckily = `mount --bind ${failing} ${BUBBLEWRAP} && exec "$@"`;
    writeFileSync(armed, '');
    await using agent = await startAgent(settings, ['unshare', '-m', 'sh', '-c', unluckily, 'sh']);
    const call = () => callerOf(agent, made.stdout)('shell', { cmd: 'echo inside' });
    expect(await call()).toMatchObject({ status: 503, body: { error: 'Not available' } });
    unlinkSync(armed);
    expect(await call()).toMatchObject({ status: 200, body: { stdout: 'inside\n' } });
  },
);

test.skipIf(process.geteuid?.() !== 0 || !existsSync(BUBBLEWRAP))(
  'more than can be hidden is refused with the reason, for a command and for a file',
  async () => {
    using directory = new TemporaryDirectory('/srv');
    const [profiles, shown] = ['profiles.d', 'shown'].map((name) => directory.join(name));
    if (!profiles || !shown) throw new Error('two names');
    chmodSync(directory.path, 0o755);
    mkdirSync(profiles);
    writeFileSync(shown, 'shown\n');
    writeFileSync(`${profiles}/reader.toml`, 'extends = "readonly"\nhide = ["/boot/many-*"]\n');
    const settings = { AGENT3_TOKENS_FILE: directory.join('tokens.json'), AGENT3_PROFILES_DIR: profiles };
    const made = await agent3(['token', 'create', 'reader', '--profile', 'reader'], settings);
    // /boot cannot be hidden as a whole.
    const alone = 'mount -t tmpfs none /boot && exec "$@"';
    await using agent = await startAgent(settings, ['unshare', '-m', 'sh', '-c', alone, 'sh']);
    const call = callerOf(agent, made.stdout);
    expect((await call('read_file', { path: shown })).status).toBe(200);
    const make = 'for n in $(seq 250); do : > /boot/many-$n; done';
    Bun.spawnSync(['nsenter', '-t', String(agent.pid), '-m', 'sh', '-c', make]);
    for (const [op, args] of [
      ['shell', { cmd: 'true' }],
      ['read_file', { path: shown }],
      ['download', { path: shown }],
    ] as const)
      expect([op, await call(op, args)]).toMatchObject([
        op,
        { status: 503, body: { message: expect.stringContaining('would have to be hidden') } },
      ]);
  },
);
