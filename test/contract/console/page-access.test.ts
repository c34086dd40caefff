import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Browser } from 'puppeteer-core';
import type { Clients } from '../../../src/console/shown.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { callTool, LOCAL_REDIRECT, registerClient, signIn } from '../../helpers/oauth-requests.ts';
import { OwnerPage } from '../../helpers/owner-page.ts';
import { freePort } from '../../helpers/ports.ts';
import { eventually } from '../../helpers/waiting.ts';

describe.skipIf(pageObstacle() !== undefined)('the view of clients', () => {
  let browser: Browser;
  let host: ConsoleHost;
  let phone: OwnerPage;
  let url: string;

  beforeAll(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const settings = { AGENT3_PORT: String(port), AGENT3_PUBLIC_URL: url, AGENT3_GRANT_KEY: 'g'.repeat(40) };
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start(settings)]);
    phone = await OwnerPage.open(browser, host);
    await phone.enrol();
    await phone.go('clients');
  });
  afterAll(async () => {
    await browser?.close();
    await host?.[Symbol.asyncDispose]();
  });

  const shown = (): Promise<string> =>
    phone.page.evaluate("document.querySelector('.secret-text')?.textContent ?? ''").then(String);
  const TOKEN = 'section > details.card:nth-last-of-type(2)';
  const CODE = 'section > details.card:last-of-type';
  const CHANGE = 'article details';
  const choose = (form: string, label: string, value: string): Promise<unknown> =>
    phone.page.evaluate(`{
      const labels = [...document.querySelectorAll('${form} label')];
      const select = labels.find((one) => one.textContent.startsWith('${label}')).querySelector('select');
      select.value = '${value}';
      select.dispatchEvent(new Event('change', { bubbles: true }));
    }`);

  test('makes a token that the console never sees, shows it once, and changes its profile', async () => {
    const sent: string[] = [];
    phone.page.on('request', (request) => sent.push(request.postData() ?? ''));
    await phone.tap(`${TOKEN} > summary`);
    await phone.type('Name', 'reports');
    await choose(TOKEN, 'Profile', 'careful');
    await phone.press('Create token');
    await phone.shows('The token, shown only once.');
    const secret = await shown();
    expect(secret).toMatch(/^[\w-]{43}$/);
    await phone.shot('token');
    expect(await eventually('it works', async () => (await host.shellWith(secret, { cmd: 'true' })) === 200)).toBe(
      true,
    );
    expect(sent.join('\n')).toContain('create-token');
    expect(sent.join('\n')).not.toContain(secret);
    await phone.page.evaluate('now = Date.now; Date.now = () => now() + 61_000; true');
    await eventually('it is hidden after a minute', async () => (await shown()) === '');
    await phone.page.evaluate('Date.now = now; true');
    expect(await phone.page.evaluate('JSON.stringify({ ...localStorage }) + document.body.innerHTML')).not.toContain(
      secret,
    );
    // What the page took for the server's time meanwhile would date its next order to before the start of the agent.
    await phone.page.reload();
    await phone.shows('Made by');
    await phone.tap(`${CHANGE} > summary`);
    await choose(CHANGE, 'Profile', 'readonly');
    await phone.press('Change it: reports');
    await eventually('it is changed', async () => {
      const { body } = await host.api('clients', {}, await phone.bearer());
      const { clients } = body as unknown as Clients;
      return clients.some(({ name, profile }) => name === 'reports' && profile === 'readonly');
    });
    expect(await host.shellWith(secret, { cmd: 'rm -f none' })).toBe(200);
  });

  test('connects a client: a code that the page alone knows, and a yes to who has come', async () => {
    await phone.go('clients');
    await phone.tap(`${CODE} > summary`);
    await choose(CODE, 'Program', 'other');
    // The page is at localhost: it says that it cannot know this host.
    await phone.shows(`The code is for ${new URL(url).host}, but this page is at localhost`);
    await choose(CODE, 'Profile', 'careful');
    await phone.press('Make a code');
    await phone.shows(`${url}/mcp`);
    const code = await shown();
    expect(code).toMatch(/^(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}$/);
    await phone.shows('Waiting for its client');
    await phone.shot('code');
    const client = await registerClient(url, [LOCAL_REDIRECT], { client_name: 'Editor' });
    const { access_token } = await signIn(url, client, code.toLowerCase());
    expect(await (await callTool(url, access_token, 'echo in')).text()).not.toContain('in\\n');
    await phone.shows('Editor has connected from 127.0.0.1');
    await phone.shot('arrived');
    await phone.press('Keep it: other');
    await phone.showsNot('Editor has come');
    await eventually('it may work', async () =>
      (await (await callTool(url, access_token, 'echo $((20+22))')).text()).includes('42'),
    );
  });
});
