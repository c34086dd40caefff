import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, CDPSession } from 'puppeteer-core';
import { idOfEndpoint } from '../../../src/console/push/subscription.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { OwnerPage } from '../../helpers/owner-page.ts';
import { PushBrowser } from '../../helpers/push-browser.ts';
import { eventually } from '../../helpers/waiting.ts';

const obstacle = pageObstacle();
const AXE = readFileSync(join(import.meta.dir, '../../../node_modules/axe-core/axe.min.js'), 'utf8');
const BROWSER = new PushBrowser('https://fcm.googleapis.com/fcm/send/chromium');

/** In place of the service of the browser's maker, which cannot be reached from here: the rest is the browser's own. */
const SERVICE = `{
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)).buffer;
  const keys = ${JSON.stringify(BROWSER.keys)};
  const make = (key) => ({
    endpoint: ${JSON.stringify(BROWSER.endpoint)},
    options: { applicationServerKey: bytes(key) },
    getKey: (name) => bytes(keys[name]),
    unsubscribe: async () => localStorage.removeItem('the-service'),
  });
  PushManager.prototype.getSubscription = async () => {
    const key = localStorage.getItem('the-service');
    return key === null ? null : make(key);
  };
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly) throw new Error('no');
    localStorage.setItem('the-service', applicationServerKey);
    return make(applicationServerKey);
  };
}`;

describe.skipIf(obstacle !== undefined)('notifications of the page', () => {
  let browser: Browser;
  let host: ConsoleHost;
  let phone: OwnerPage;
  let cdp: CDPSession;
  let registrationId = '';

  beforeAll(async () => {
    [browser, host] = await Promise.all([
      openBrowser(),
      ConsoleHost.start({ AGENT3_PUSH_KEY: 'the-secret-of-the-pushes-0123456789abcdef' }),
    ]);
    phone = await OwnerPage.open(browser, host);
    await phone.page.evaluateOnNewDocument(SERVICE);
    await phone.enrol();
  });
  afterAll(async () => {
    await browser?.close();
    await host?.[Symbol.asyncDispose]();
  });

  const allow = (state: 'granted' | 'denied') =>
    phone.page.browserContext().setPermission(host.origin, { permission: { name: 'notifications' }, state });
  const file = (): string => join(host.console.directory, 'subscriptions', `${idOfEndpoint(BROWSER.endpoint)}.json`);
  const eventsOnDisk = () => existsSync(file()) && JSON.parse(readFileSync(file(), 'utf8')).events;

  test('the page can be installed', async () => {
    await phone.go('waiting');
    cdp = await phone.page.createCDPSession();
    const { errors, url, data } = await cdp.send('Page.getAppManifest');
    expect([errors, url]).toEqual([[], `${host.origin}/manifest.json`]);
    expect(JSON.parse(data ?? '').name).toBe('Agent3');
    const { installabilityErrors } = await cdp.send('Page.getInstallabilityErrors');
    // A tab without a window that a person has opened cannot be asked more of.
    expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([]);
  });

  test('are off, and say so where the browser blocks them', async () => {
    await allow('denied');
    await phone.go('notifications');
    await phone.shows('You have blocked notifications of this page.');
    await allow('granted');
    // A busy browser informs its pages some time later.
    await eventually('they are off', async () => {
      await phone.page.reload();
      const isOff = "document.body.innerText.includes('Notifications are off on this device.')";
      return phone.page.waitForFunction(isOff, { timeout: 5000 }).then(Boolean, () => false);
    });
    await phone.shot('notifications-off');
  });

  test('are turned on, for each event by itself, in a file that only the console writes', async () => {
    await cdp.send('ServiceWorker.enable');
    cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      registrationId = registrations.find(({ isDeleted }) => !isDeleted)?.registrationId ?? registrationId;
    });
    await phone.press('Turn on on this device');
    await phone.shows('a command waits for approval');
    await phone.shot('notifications-on');
    await phone.page.evaluate(AXE);
    const faults = `axe.run().then(({ violations }) => violations.filter(({ impact }) => /serious|critical/.test(impact)).map(({ id }) => id))`;
    expect(await phone.page.evaluate(faults)).toEqual([]);
    const all = ['waits', 'ended', 'restarted', 'reuse', 'freeze'];
    expect(await eventually('it is on disk', eventsOnDisk)).toEqual(all);
    await phone.press('a background command has ended');
    await eventually('it is off', () => eventsOnDisk().join() === all.filter((one) => one !== 'ended').join());
    const { result } = await cdp.send('Runtime.evaluate', {
      expression: 'navigator.serviceWorker.ready.then(({ scope, active }) => [scope, active.scriptURL].join(" "))',
      awaitPromise: true,
    });
    expect(result.value).toBe(`${host.origin}/ ${host.origin}/worker.js`);
  });

  const look = `navigator.serviceWorker.ready.then(async (registration) => {
    const all = await registration.getNotifications();
    const found = all.map(({ title, body, data, tag }) => ({ title, body, data, tag }));
    for (const one of all) one.close();
    return found;
  })`;
  // A worker that is being started takes no push: it is sent again then, and is one notification all the same.
  const shown = (data: string, tag: string): Promise<unknown> =>
    eventually('it is shown', async () => {
      await cdp.send('ServiceWorker.deliverPushMessage', { origin: host.origin, registrationId, data });
      const found = (await phone.page.evaluate(look)) as { tag: string }[];
      return found.find((one) => one.tag === tag);
    });

  test('a push is shown in the words of the page, and nothing that the push says', async () => {
    await eventually('the worker is known', () => registrationId !== '');
    expect(await shown('{"kind":"waits","id":"0197aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"}   ', 'waits')).toEqual({
      title: 'A command waits',
      body: 'Approve or deny it on localhost',
      data: '#waiting',
      tag: 'waits',
    });
    expect(await shown('{"kind":"frozen","id":""}', 'frozen')).toMatchObject({
      title: 'The server is frozen',
      data: '#now',
    });
    const ended = '0197aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';
    expect(await shown(`{"kind":"ended","id":"${ended}"}`, 'ended')).toMatchObject({ data: `#history/${ended}` });
    expect(await shown('{"kind":"constructor","title":"Call 555-1234","data":"//evil.example"}', 'other')).toEqual({
      title: 'Agent3',
      body: 'Something happened on localhost',
      data: '#waiting',
      tag: 'other',
    });
  });

  test('a test is sent by the agent, which says why it could not', async () => {
    await phone.press('Send a test');
    // This machine does not reach the internet; what the service takes is tried elsewhere.
    await eventually('it says so', async () => /It was not sent: |Sent\. It appears/.test(await phone.text()));
  });

  test('the view of the server shows the machine, the agent and that doctor has not run', async () => {
    await phone.go('server');
    for (const text of ['Load (1, 5, 15 min)', 'Memory in use', 'Free on /', 'Version', 'sudo agent3 doctor'])
      await phone.shows(text);
    await phone.shot('server');
  });

  test('is shown in the language that was chosen on the page', async () => {
    // One from before, which was sent again, may come late.
    const says = (text: string) =>
      eventually(`a notification says ${text}`, async () =>
        JSON.stringify(await shown('{"kind":"frozen","id":""}', 'frozen')).includes(text),
      );
    await phone.press('Español');
    await phone.page.waitForFunction("document.documentElement.lang === 'es'");
    await says('El servidor está congelado');
    await phone.press('English');
    await phone.page.waitForFunction("document.documentElement.lang === 'en'");
    await says('The server is frozen');
  });

  test('come back where the console has lost them, and end with the session', async () => {
    writeFileSync(file(), '');
    await phone.go('waiting');
    await phone.page.reload();
    await eventually('they are there again', () => readFileSync(file(), 'utf8').includes(BROWSER.endpoint));
    expect(eventsOnDisk()).not.toContain('ended');
    await phone.press('Sign out');
    await phone.shows('Sign in with a passkey');
    await eventually('they are gone', () => !existsSync(file()));
    expect(readdirSync(join(host.console.directory, 'subscriptions'))).toEqual([]);
  });

  test('no worker comes from elsewhere, nor from the API', async () => {
    const register = (url: string): Promise<unknown> =>
      phone.page.evaluate(
        `navigator.serviceWorker.register(${JSON.stringify(url)}, { scope: '/' }).then(() => 'registered', (error) => error.name)`,
      );
    for (const url of [
      'https://evil.example/worker.js',
      'data:text/javascript,0',
      `${host.origin}/api/hello`,
      `${host.origin}/index.html`,
      `${host.origin}/manifest.json`,
    ])
      expect([url, await register(url)]).not.toContain('registered');
    expect(phone.watched.faults.filter((fault) => /thrown/.test(fault))).toEqual([]);
    const { headers } = await host.console.fetch('/worker.js');
    expect(headers.get('service-worker-allowed')).toBeNull();
    expect(headers.get('content-security-policy')).toContain("worker-src 'self'");
    expect(headers.get('cache-control')).toBe('no-cache');
  });
});
