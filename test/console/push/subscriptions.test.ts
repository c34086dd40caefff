import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idOfEndpoint, parseEndpoint } from '../../../src/console/push/subscription.ts';
import { readSubscriptions } from '../../../src/console/push/subscriptions.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { PushBrowser } from '../../helpers/push-browser.ts';

describe('an endpoint is that of a push service that browsers use', () => {
  test.each([
    'https://fcm.googleapis.com/fcm/send/abc:DEF',
    'https://updates.push.services.mozilla.com/wpush/v2/gAAAA',
    'https://web.push.apple.com/QGuQyavXutnMH',
    'https://wns2-by3p.notify.windows.com/w/?token=BQYAAA%3d',
  ])('%s', (endpoint) => {
    expect(parseEndpoint(endpoint)?.href).toBe(endpoint);
  });

  test.each([
    'http://fcm.googleapis.com/x',
    'https://fcm.googleapis.com:8443/x',
    'https://fcm.googleapis.com:443/x',
    'https://user@fcm.googleapis.com/x',
    'https://fcm.googleapis.com@127.0.0.1/x',
    'https://fcm.googleapis.com.example/x',
    'https://xfcm.googleapis.com/x',
    'https://push.apple.com.evil.example/x',
    'https://a.b.push.apple.com/x',
    'https://127.0.0.1/x',
    'https://169.254.169.254/latest/meta-data',
    'https://localhost/x',
    'https://[::1]/x',
    'https://fcm.googleapis.com\\@10.0.0.1/x',
    'https://FCM.googleapis.com/x',
    'https://fcm.googleapis.com/x#part',
    'https://fcm.googleapis.com/\nx',
    `https://fcm.googleapis.com/${'x'.repeat(1000)}`,
    'file:///etc/passwd',
  ])('not %s', (endpoint) => {
    expect(parseEndpoint(endpoint)).toBeUndefined();
  });
});

describe.skipIf(process.geteuid?.() !== 0)('the agent reads subscriptions', () => {
  const files = new ConsoleFiles();
  afterAll(() => files[Symbol.dispose]());
  const place = { directory: files.directory, passkeysFile: files.passkeysFile, isService: true };
  const read = () => readSubscriptions(place, Date.now());
  const pathOf = (id: string): string => join(files.directory, 'subscriptions', `${id}.json`);
  const browser = new PushBrowser('https://fcm.googleapis.com/fcm/send/phone');
  const id = idOfEndpoint(browser.endpoint);
  const whole = (of: string) => ({ endpoint: browser.endpoint, ...browser.keys, events: ['waits'], of, made_at: 1 });

  /** Puts something in the place of a file; returns what the agent reads from it. */
  const readAs = (content: unknown, name = id, owner = files.owner, mode = 0o640) => {
    const path = pathOf(name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode });
    chownSync(path, owner, files.group);
    chmodSync(path, mode);
    const found = read();
    rmSync(path);
    return { read: found.subscriptions.map((one) => one.id), faults: found.faults.join('\n') };
  };

  test('of people who are pinned', async () => {
    await files.pin();
    const { id: passkey } = await files.phone.passkey();
    expect(readAs(whole(passkey))).toEqual({ read: [id], faults: '' });
    expect(readAs(whole('of-nobody'))).toEqual({ read: [], faults: '' });
  });

  test('by their form alone', async () => {
    const { id: passkey } = await files.phone.passkey();
    const good = whole(passkey);
    for (const [content, fault] of [
      ['{', 'no order'],
      [{ ...good, more: 1 }, 'no subscription'],
      [{ ...good, events: ['everything'] }, 'no subscription'],
      [{ ...good, p256dh: 'short' }, 'no subscription'],
      [{ ...good, endpoint: 'https://10.0.0.1/x' }, 'no push service'],
      [{ ...good, endpoint: 'https://fcm.googleapis.com/another' }, 'another name'],
      [{ ...good, of: 'x'.repeat(10_000) }, 'too large'],
    ] as const) {
      const { read: found, faults } = readAs(content);
      expect([found, faults.includes(fault)]).toEqual([[], true]);
    }
  });

  test('of the console alone', async () => {
    const { id: passkey } = await files.phone.passkey();
    expect(readAs(whole(passkey), id, 0).faults).toContain('belongs to the user with the number 0');
    expect(readAs(whole(passkey), id, files.owner, 0o660).faults).toContain('others than the console may write');
  });

  test('and follows no link, waits for no pipe, and reads no file without an end', () => {
    symlinkSync('/etc/passwd', pathOf(id));
    expect(read().faults.join()).toContain('cannot be read');
    rmSync(pathOf(id));
    Bun.spawnSync(['mkfifo', pathOf(id)]);
    expect(read().faults.join()).toContain('it is not a file');
    rmSync(pathOf(id));
    mkdirSync(pathOf(id));
    expect(read().faults.join()).toContain('it is not a file');
    rmSync(pathOf(id), { recursive: true });
    writeFileSync(pathOf(id), '');
    chownSync(pathOf(id), files.owner, files.group);
    truncateSync(pathOf(id), 2 ** 33);
    expect(read().faults.join()).toContain('too large');
    rmSync(pathOf(id));
  });

  test('fifty of them', async () => {
    const { id: passkey } = await files.phone.passkey();
    const ids = Array.from({ length: 60 }, (_, number) => {
      const endpoint = `https://fcm.googleapis.com/${number}`;
      const path = pathOf(idOfEndpoint(endpoint));
      writeFileSync(path, JSON.stringify({ ...whole(passkey), endpoint }), { mode: 0o640 });
      chownSync(path, files.owner, files.group);
      return path;
    });
    const { subscriptions, faults } = read();
    expect([subscriptions.length, faults]).toEqual([50, ['there are more than 50 subscriptions']]);
    for (const path of ids) rmSync(path);
  });
});
