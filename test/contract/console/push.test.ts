import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMessage } from '../../../src/console/push/message.ts';
import type { PushState } from '../../../src/console/push/push-api.ts';
import { idOfEndpoint } from '../../../src/console/push/subscription.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { claimsOf, PushBrowser } from '../../helpers/push-browser.ts';
import { NETWORK_PROGRAMS, SmallInternet } from '../../helpers/small-internet.ts';
import { eventually } from '../../helpers/waiting.ts';

const CAREFUL =
  'extends = "full"\nnotify = ["ended"]\nunreadable = "allow"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';
const SECRET = 'the-secret-of-the-pushes-0123456789abcdef';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms(...NETWORK_PROGRAMS);

describe.skipIf(!isRoot || missing.length > 0)('the agent pushes to services on the internet', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  let net: SmallInternet;
  let agent: Agent;
  let wire: WireClient;
  let passkey = '';

  beforeAll(async () => {
    const port = await freePort();
    net = await SmallInternet.open(port);
    for (const name of ['profiles.d', 'approvals']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    await files.pin();
    passkey = (await files.phone.passkey()).id;
    agent = await startAgent(
      {
        ...files.settings,
        ...net.settings,
        AGENT3_PORT: String(port),
        AGENT3_APPROVALS_DIR: place.join('approvals'),
        AGENT3_PROFILES_DIR: place.join('profiles.d'),
        AGENT3_PROFILE: 'careful',
        AGENT3_PUSH_KEY: SECRET,
        AGENT3_CONSOLE_ORIGIN: 'https://agent.example:8443',
      },
      net.before,
    );
    const { AGENT3_CONSOLE_SOCKET: socket, AGENT3_CONSOLE_KEY: key } = files.settings;
    wire = new WireClient(socket, key);
  });
  afterAll(async () => {
    wire?.close();
    await agent?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const subscribe = (endpoint: string, events: readonly string[] = []): PushBrowser => {
    const browser = new PushBrowser(endpoint);
    const path = join(files.directory, 'subscriptions', `${idOfEndpoint(endpoint)}.json`);
    writeFileSync(path, JSON.stringify({ endpoint, ...browser.keys, events, of: passkey, made_at: 1 }), {
      mode: 0o640,
    });
    chownSync(path, files.owner, files.group);
    return browser;
  };
  const tryOut = (endpoint: string) => wire.request('test-push', { id: idOfEndpoint(endpoint) });
  const state = async () => (await wire.request('push', {})) as PushState;

  test('what waits, sealed for the browser and signed for the service', async () => {
    const browser = subscribe('https://fcm.googleapis.com/push/phone', ['waits']);
    const { session, status } = await agent.shell({ cmd: 'rm -f none; echo a-word-of-the-command' });
    expect(status).toBe('waiting');
    const [pushed] = await eventually('the push is there', () => net.pushed.length > 0 && net.pushed);
    const text = browser.open(Buffer.from(pushed?.base64 ?? '', 'base64'));
    expect(readMessage(text)).toEqual({ kind: 'waits', id: String(session) });
    expect(text.trim()).toBe(JSON.stringify({ kind: 'waits', id: session }));
    const { public_key } = await state();
    expect(claimsOf(pushed?.headers['authorization'] ?? '', public_key ?? '')).toMatchObject({
      aud: 'https://fcm.googleapis.com',
      sub: 'https://agent.example:8443',
    });
    expect(pushed?.headers).toMatchObject({ 'content-encoding': 'aes128gcm', urgency: 'high', ttl: '600' });
  });

  test('what has ended after its answer, where the call or its profile wants that', async () => {
    const browser = subscribe('https://fcm.googleapis.com/push/ended', ['ended']);
    const pushed = () => net.pushed.filter(({ path }) => path === '/push/ended');
    const background = async (args: object) =>
      String((await agent.shell({ cmd: 'sleep 0.2', background: true, ...args })).session);
    await agent.shell({ cmd: 'true', notify: true });
    const silent = await background({ notify: false });
    await eventually('it has ended', async () => (await agent.read({ session: silent, wait: 5 })).status === 'done');
    expect(pushed()).toEqual([]);
    const session = await background({});
    const [first] = await eventually('the push is there', () => pushed().length > 0 && pushed());
    expect(readMessage(browser.open(Buffer.from(first?.base64 ?? '', 'base64')))).toEqual({
      kind: 'ended',
      id: session,
    });
  });

  test('nothing into the network that it is in, whatever a name of a push service leads to', async () => {
    const before = net.asked.length;
    for (const host of [
      ...['inside.push.apple.com', 'self.push.apple.com', 'six.push.apple.com'],
      ...['metadata.notify.windows.com', 'both.notify.windows.com'],
    ]) {
      const endpoint = `https://${host}/push/x`;
      subscribe(endpoint);
      expect(await tryOut(endpoint)).toMatchObject({ state: 'failed', why: 'it has no public address here' });
    }
    for (const endpoint of [
      'https://127.0.0.1/push/x',
      'https://private.example/push/x',
      'https://good.example/push/x',
    ]) {
      subscribe(endpoint);
      await expect(tryOut(endpoint)).rejects.toThrow('Notifications are off on this device');
    }
    expect(net.asked.slice(before)).toEqual([]);
  });

  test('and follows no redirect, waits for no service and reads no answer without an end', async () => {
    const before = net.asked.length;
    const outcomes = await Promise.all(
      ['moved-inside', 'endless', 'gone', 'silent'].map((name) => {
        const endpoint = `https://fcm.googleapis.com/push/${name}`;
        subscribe(endpoint);
        return tryOut(endpoint);
      }),
    );
    expect(outcomes).toMatchObject([
      { state: 'failed', why: 'it answered 307' },
      { state: 'sent' },
      { state: 'gone' },
      { state: 'failed', why: 'it did not answer in 5 s' },
    ]);
    expect(net.asked.slice(before).filter((line) => !line.startsWith('11.0.0.1 fcm.googleapis.com '))).toEqual([]);
    expect((await state()).gone).toEqual([idOfEndpoint('https://fcm.googleapis.com/push/gone')]);
  });

  test('and a command sees nothing of its key', async () => {
    const { stdout } = await agent.shell({ cmd: 'env; cat /proc/$PPID/environ | tr "\\0" "\\n"' });
    expect(stdout).not.toContain(SECRET);
    expect(String(stdout)).toMatch(/^AGENT3_PUSH_KEY=$/m);
  });
});
