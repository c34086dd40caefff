import { afterAll, expect, test } from 'bun:test';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { parseEnvFile } from '../../../ops/env-file.ts';
import { writePasskeys } from '../../../src/console/passkeys.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually, within } from '../../helpers/waiting.ts';

ensurePrograms('nats-server', 'openssl');

const directory = new TemporaryDirectory();
const FLEET = directory.join('fleet');
const WEB1 = directory.join('web1/hub.json');
const WEB1_PASSKEYS = directory.join('web1/hub-passkeys.json');
const PASSKEYS = directory.join('passkeys.json');
const ended: AsyncDisposable[] = [];
afterAll(async () => {
  for (const one of ended.reverse()) await one[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const fleet = (...args: string[]) => agent3(['fleet', ...args, '--dir', FLEET], { AGENT3_PASSKEYS_FILE: PASSKEYS });

/** `agent3 join`, with lines on standard input. */
async function join(url: string, code: string, file: string, ...more: string[]) {
  const child = Bun.spawn([BINARY, 'join', ...(url === '' ? [] : [url]), '--file', file, ...more], {
    cwd: directory.path,
    env: { ...BASE_ENVIRONMENT },
    stdin: new Blob([`${code}\n`]),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [stdout, stderr, exit] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code: exit, stdout, stderr };
}

/** A running `agent3 fleet invite`: its lines of JSON as they come. */
function invite(...args: string[]) {
  const child = Bun.spawn([BINARY, 'fleet', 'invite', ...args, '--json', '--dir', FLEET], {
    cwd: directory.path,
    env: { ...BASE_ENVIRONMENT, AGENT3_PASSKEYS_FILE: PASSKEYS },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  ended.push({
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  });
  const lines: Record<string, string>[] = [];
  void (async () => {
    let text = '';
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      const whole = text.split('\n');
      text = whole.pop() ?? '';
      lines.push(...whole.map((line) => JSON.parse(line) as Record<string, string>));
    }
  })();
  const line = (event: string) => eventually(`the line ${event}`, () => lines.find((one) => one['event'] === event));
  return { child, line };
}

/** A way to a port of this machine that never answers the first connection, and does not end it. */
function silentOnce(port: number) {
  let isFirst = true;
  const server = createServer((client) => {
    client.on('error', () => {});
    if (isFirst) {
      isFirst = false;
      return;
    }
    const nats = connect(port, '127.0.0.1').on('error', () => {});
    client.pipe(nats).pipe(client);
  }).listen(0, '127.0.0.1');
  const { port: own } = server.address() as { readonly port: number };
  return { port: own, [Symbol.dispose]: () => void server.close() };
}

async function agentWith(env: string): Promise<Agent> {
  const agent = await startAgent(parseEnvFile(readFileSync(env, 'utf8')));
  ended.push(agent);
  return agent;
}

test('a fleet is set up, a server joins it, is called, labelled, removed, and leaves', async () => {
  const port = String(await freePort());
  const phone = new Authenticator();
  const passkeys = [await phone.passkey()];
  writePasskeys(PASSKEYS, { origin: phone.origin, rp_id: phone.rpId, passkeys, sessions: [] });
  const made = await fleet('init', '--host', '127.0.0.1', '--listen', '127.0.0.1', '--port', port);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  expect(made.stdout).not.toMatch(/SU[A-Z2-7]{10}/);
  expect((await fleet('init', '--host', '127.0.0.1')).stderr).toContain('there is already a fleet');
  for (const secret of ['hub.env', 'key.pem', 'nats.conf', 'invites.json'])
    expect(statSync(`${FLEET}/${secret}`).mode & 0o077).toBe(0);
  const nats = Bun.spawn(['nats-server', '-c', `${FLEET}/nats.conf`], { stdio: ['ignore', 'ignore', 'ignore'] });
  ended.push({
    [Symbol.asyncDispose]: async () => {
      nats.kill('SIGKILL');
      await nats.exited;
    },
  });
  await eventually('NATS has written its number', () => existsSync(`${FLEET}/nats.pid`));
  const hub = await agentWith(`${FLEET}/hub.env`);
  for (const name of ['hub', 'Web1', '../x']) expect((await fleet('invite', name)).code).toBeGreaterThan(0);
  expect((await fleet('invite', 'web1', '--label', 'role web')).stderr).toContain('name=value');

  const invited = invite('web1', '--label', 'role=web');
  const { url = '', code = '' } = await invited.line('code');
  expect(url).toMatch(/^tls:\/\/127\.0\.0\.1:\d+\/[a-z2-7]{8}$/);
  expect(await join(url, 'AAAA-AAAA-AAAA-AAAA', WEB1)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the code is wrong'),
  });
  expect(await join(url, 'short', WEB1)).toMatchObject({ code: 1, stderr: expect.stringContaining('16 letters') });
  expect(existsSync(WEB1)).toBe(false);
  using way = silentOnce(Number(port));
  const joined = await within(
    'the end of the join',
    join(url.replace(port, String(way.port)), code.toLowerCase(), WEB1, '--profile', 'full'),
  );
  expect(joined.stdout).toContain('joined hub as web1');
  expect(joined.stdout).toContain(`Pixel 9  ${passkeys[0]?.fingerprint}\nwho holds one of these may approve`);
  expect(JSON.parse(readFileSync(WEB1_PASSKEYS, 'utf8'))).toMatchObject({ count: 0, passkeys, sessions: [] });
  const { fingerprint = '' } = await invited.line('joined');
  expect(joined.stdout).toContain(`fingerprint of this server  ${fingerprint}`);
  expect(await within('the end of the invitation', invited.child.exited)).toBe(0);
  expect(await join(url, code, directory.join('web2/hub.json'))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('was already used'),
  });
  expect((await fleet('invite', 'web1')).stderr).toContain('the server web1 exists already');

  const web1 = await agentWith(directory.join('web1/server.env'));
  const call = async () => (await hub.call('shell', { server: 'web1', cmd: 'echo $PPID' })).body;
  await eventually('web1 is called', async () => (await call()).stdout === `${web1.pid}\n`);
  await repinned(passkeys[0]?.fingerprint ?? '');
  expect((await fleet('label', 'web1', 'env=prod', 'role-')).stdout).toBe('web1  env=prod\n');
  expect(JSON.parse((await fleet('list', '--json')).stdout)).toMatchObject({
    servers: [{ name: 'web1', labels: { env: 'prod' } }],
  });
  expect((await fleet('show', 'web1')).stdout).toContain(fingerprint);
  expect(await fleet('list')).toMatchObject({
    stdout: expect.stringMatching(/^web1 +connected +full +env=prod\n$/),
    stderr: '',
  });
  await eventually('the hub knows the label', async () =>
    (await hub.call('list_servers', {})).text.includes('"labels":{"env":"prod"}'),
  );

  expect((await fleet('remove', 'web1')).code).toBe(0);
  await web1.log.find('web1 is refused', (line) => String(line['msg']).includes('does not know this server'));
  await hub.log.find('the hub says it', (line) => line['server'] === 'web1' && /was removed/.test(String(line['msg'])));
  await eventually('the hub knows no web1', async () => (await call()).error === 'Invalid args');
  expect((await agent3(['leave', '--file', WEB1])).stdout).toContain('left hub');
  const left = [WEB1, WEB1_PASSKEYS, directory.join('web1/server.env')];
  expect(left.map((path) => existsSync(path))).toEqual([false, false, false]);
  expect((await agent3(['leave', '--file', WEB1])).code).toBe(1);
});

/** Root of web1 pins the passkeys again, as `fleet passkeys` prints them; `printed` is the fingerprint of one. */
async function repinned(printed: string): Promise<void> {
  const { stdout: line } = await fleet('passkeys');
  expect(JSON.parse(line)).toMatchObject({ count: 0, passkeys: [{ fingerprint: printed }] });
  const third = JSON.stringify({ ...JSON.parse(line), count: 3 });
  expect((await join('', `${third}\nn`, WEB1, '--passkeys')).stderr).toContain('nothing was changed');
  expect((await join('', '{}\ny', WEB1, '--passkeys')).stderr).toContain('not a list of passkeys');
  const { stdout } = await join('', `${third}\ny`, WEB1, '--passkeys');
  expect(stdout).toContain('number 3, in place of number 0');
  expect(stdout).toContain(printed);
  expect(JSON.parse(readFileSync(WEB1_PASSKEYS, 'utf8'))).toMatchObject({ count: 3 });
}

test('an invitation that is stopped takes its code with it', async () => {
  const { child, line } = invite('web9');
  const { url = '', code = '' } = await line('code');
  child.kill('SIGTERM');
  await child.exited;
  await eventually('the code is over', async () =>
    (await join(url, code, directory.join('web9/hub.json'))).stderr.includes('the code is wrong'),
  );
  expect(JSON.parse(readFileSync(`${FLEET}/invites.json`, 'utf8'))).toEqual([]);
});
