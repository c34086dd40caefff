import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, HTTPRequest, Page } from 'puppeteer-core';
import { browserObstacle, openBrowser, WatchedPage } from '../../helpers/browser.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { type Asking, HOSTS, type HostKind, OAuthHost } from '../../helpers/oauth-host.ts';
import { type Connecting, SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

const obstacle = browserObstacle();
if (obstacle !== undefined) console.error(`connect: the page is not tried in a browser: ${obstacle}`);
ensurePrograms('gcc');

/** Where pictures of the page go when `AGENT3_TEST_SHOTS` names a directory, for a person to look at. */
const SHOTS = Bun.env['AGENT3_TEST_SHOTS'];

const PHONE = { width: 360, height: 740, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const DESK = { width: 1100, height: 800 };

describe.skipIf(obstacle !== undefined)('the page on which the owner allows a client', () => {
  const clock = new MovedClock();
  let browser: Browser;
  let server: SignInAgent;
  /** Answers of programs on this computer arrive here. */
  const arrived: URL[] = [];
  const listener = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ url }) => {
      // Browsers ask for an icon as well.
      if (new URL(url).pathname === '/callback') arrived.push(new URL(url));
      return new Response('You can close this page.');
    },
  });

  beforeAll(async () => {
    browser = await openBrowser();
    server = await SignInAgent.start(clock.settings);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    await listener.stop(true);
    clock[Symbol.dispose]();
  });

  let names = 0;
  const connect = (client: string, ...options: readonly string[]): Connecting =>
    server.connect('--name', `client-${++names}`, '--client', client, ...options);

  /** Claude Code on this computer, with the port that it happened to get. */
  const claudeCode = (): HostKind => ({
    ...HOSTS['claude code'],
    redirect: `http://127.0.0.1:${listener.port}/callback`,
  });

  const ask = async (kind: HostKind, more: Readonly<Record<string, string>> = {}) => {
    const host = await OAuthHost.discover(kind, server.mcp);
    return { host, asking: await host.ask(more) };
  };

  const open = async (asking: Asking, viewport: typeof PHONE | typeof DESK = PHONE): Promise<WatchedPage> => {
    const watched = await WatchedPage.open(browser);
    await watched.page.setViewport(viewport);
    await watched.page.goto(asking.url.href, { waitUntil: 'networkidle0' });
    return watched;
  };

  const textOf = (page: Page) => page.evaluate('document.body.innerText').then(String);

  const shot = async (page: Page, name: string): Promise<void> => {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) as `${string}.png`, fullPage: true });
  };

  /** Types a code and presses the first button; returns where the browser goes. */
  const enter = async (page: Page, code: string): Promise<HTTPRequest[]> => {
    const sent: HTTPRequest[] = [];
    page.on('request', (request) => {
      if (request.isNavigationRequest()) sent.push(request);
    });
    // Without the help of scripts in the page: it has none, and may not have any.
    await page.bringToFront();
    await page.focus('input[name=code]');
    await page.keyboard.type(code);
    await page.keyboard.press('Enter');
    const isAnswered = (request?: HTTPRequest) =>
      request !== undefined && (request.response() ?? request.failure()) !== null;
    await eventually('the form is answered', () => isAnswered(sent.at(-1)));
    const isLoaded = () =>
      page.evaluate('document.readyState').then(
        (state) => state === 'complete',
        () => false,
      );
    await eventually('the answer is shown', isLoaded);
    return sent;
  };

  test.each([
    ['phone', PHONE, 'en'],
    ['phone', PHONE, 'es'],
    ['desk', DESK, 'en'],
  ] as const)('fits a %s, has no script, and can be used by everybody (%#)', async (device, viewport, language) => {
    await using terminal = connect('claude', '--profile', 'full', '--expires', '30d');
    await terminal.code();
    const { asking } = await ask(HOSTS.claude, { ui_locales: `${language} de` });
    await using watched = await open(asking, viewport);
    const { page } = watched;
    await shot(page, `consent-${device}-${language}`);
    expect(watched.faults).toEqual([]);
    expect(watched.origins).toEqual([server.issuer]);
    expect(await page.evaluate('document.scripts.length')).toBe(0);
    expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true);
    expect(await page.evaluate('document.documentElement.lang')).toBe(language);
    expect(await page.evaluate('document.cookie')).toBe('');
    const text = await textOf(page);
    for (const shown of ['Claude', 'claude.ai', 'full']) expect(text).toContain(shown);
    expect(text).toContain(
      language === 'es' ? 'Solo si acaba de pulsar' : 'Only if you pressed Connect yourself, just now',
    );
    // The host is the largest text of the page.
    const sizes: Record<string, number> = JSON.parse(
      String(
        await page.evaluate(
          `JSON.stringify(Object.fromEntries([...document.querySelectorAll('main *')]
             .filter((element) => element.children.length === 0 && element.textContent.trim() !== '')
             .map((element) => [element.textContent.trim(), parseFloat(getComputedStyle(element).fontSize)])))`,
        ),
      ),
    );
    const [largest] = Object.entries(sizes).sort(([, one], [, other]) => other - one)[0] ?? [];
    expect(largest).toBe('claude.ai');
    // A smaller field makes a phone zoom in, and smaller buttons are hard to hit.
    const [field, ...buttons] = JSON.parse(
      String(
        await page.evaluate(
          `JSON.stringify([parseFloat(getComputedStyle(document.querySelector('input[name=code]')).fontSize),
             ...[...document.querySelectorAll('button')].map((button) => button.getBoundingClientRect().height)])`,
        ),
      ),
    ) as number[];
    expect(field).toBeGreaterThanOrEqual(16);
    for (const height of buttons) expect(height).toBeGreaterThanOrEqual(44);
    const tree = await page.accessibility.snapshot();
    const named = JSON.stringify(tree);
    expect(named).toContain(language === 'es' ? 'Código' : 'Code');
    const unnamed = tree?.children?.filter(({ role, name }) => ['textbox', 'button'].includes(role) && !name);
    expect(unnamed).toEqual([]);
  });

  test('takes the code from a browser that sends no cookie and the origin null, and leads on to the client', async () => {
    await using terminal = connect('claude-code', '--yes');
    const code = await terminal.code();
    const { host, asking } = await ask(claudeCode());
    await using watched = await open(asking);
    const { page } = watched;
    // As people type it.
    const sent = await enter(page, `${code.slice(0, 5)}-${code.slice(5).toLowerCase()} `);
    expect(sent[0]?.method()).toBe('POST');
    expect(sent[0]?.headers()['cookie']).toBeUndefined();
    expect(sent[0]?.headers()['origin']).toBe('null');
    const answer = await eventually('the answer arrives', () => arrived.at(-1));
    expect(answer.searchParams.get('state')).toBe(asking.state);
    const tokens = await host.exchange(asking, answer);
    expect((await server.call(tokens.access)).status).toBe(200);
    expect(watched.faults.filter((fault) => !fault.includes('favicon'))).toEqual([]);
    expect(await terminal.ended()).toBe(0);
  });

  test('works without scripts, and leads to a chat on the web', async () => {
    await using terminal = connect('chatgpt');
    const code = await terminal.code();
    const { asking } = await ask(HOSTS.chatgpt);
    await using watched = await open(asking);
    await watched.page.setJavaScriptEnabled(false);
    await watched.page.reload();
    const sent = await enter(watched.page, code);
    const led = await eventually('it is led to the chat', () =>
      sent.map((request) => request.url()).find((url) => url.startsWith(HOSTS.chatgpt.redirect)),
    );
    expect(new URL(led).searchParams.get('iss')).toBe(server.issuer);
    expect(watched.faults.filter((fault) => fault.includes('policy'))).toEqual([]);
  });

  test('works in a sandbox, as apps show it', async () => {
    await using terminal = connect('claude-code');
    const code = await terminal.code();
    const { asking } = await ask(claudeCode());
    await using app = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () =>
        new Response(`<a id="connect" target="_blank" href="${Bun.escapeHTML(asking.url.href)}">Connect</a>`, {
          headers: {
            'content-type': 'text/html',
            'content-security-policy': 'sandbox allow-forms allow-popups',
          },
        }),
    });
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`http://127.0.0.1:${app.port}/`);
    const opened = new Promise<Page>((resolve) => watched.page.once('popup', (page) => resolve(page as Page)));
    await (await watched.page.$('#connect'))?.click();
    const popup = await opened;
    await eventually('the page is there', async () => (await popup.$('input[name=code]')) !== null);
    const before = arrived.length;
    const [sent] = await enter(popup, code);
    expect(sent?.headers()['origin']).toBe('null');
    await eventually('the answer arrives', () => arrived.length > before);
    expect(arrived.at(-1)?.searchParams.get('code')).not.toBeNull();
    await popup.close();
  });

  test('is shown in no frame of another page', async () => {
    const { asking } = await ask(HOSTS.claude);
    const page = await fetch(asking.url);
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(page.headers.get('x-frame-options')).toBe('DENY');
    await using thief = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () =>
        new Response(
          `<h1>Win a phone</h1>
           <iframe src="${Bun.escapeHTML(asking.url.href)}" width="600" height="900"></iframe>
           <iframe sandbox="allow-forms" src="${Bun.escapeHTML(asking.url.href)}" width="600" height="900"></iframe>`,
          { headers: { 'content-type': 'text/html' } },
        ),
    });
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`http://127.0.0.1:${thief.port}/`, { waitUntil: 'networkidle0' });
    const frames = watched.page.frames().filter((frame) => frame !== watched.page.mainFrame());
    expect(frames).toHaveLength(2);
    for (const frame of frames)
      expect(String(await frame.evaluate('document.documentElement.innerHTML'))).not.toContain('name="code"');
  });

  test('says that a code is wrong, and then takes the right one', async () => {
    await using terminal = connect('claude-code', '--yes');
    const code = await terminal.code();
    const { host, asking } = await ask(claudeCode());
    await using watched = await open(asking);
    const { page } = watched;
    await enter(page, 'AAAAAAAAAA');
    await shot(page, 'consent-wrong');
    expect(await page.$eval('[role=alert]', (element) => element.textContent)).toContain('wrong');
    expect(await page.$eval('input[name=code]', (element) => (element as { value: string }).value)).toBe('');
    const before = arrived.length;
    await enter(page, code);
    await eventually('the answer arrives', () => arrived.length > before);
    await host.exchange(asking, arrived.at(-1) ?? new URL(server.issuer));
    expect(await terminal.ended()).toBe(0);
  });

  test('refuses a code that is over', async () => {
    const terminal = connect('claude-code');
    const code = await terminal.code();
    const { asking } = await ask(claudeCode());
    await using watched = await open(asking);
    clock.move(601);
    const before = arrived.length;
    await enter(watched.page, code);
    await shot(watched.page, 'consent-expired');
    expect(await watched.page.$eval('[role=alert]', (element) => element.textContent)).toMatch(/over|expired/);
    expect(arrived).toHaveLength(before);
    expect(await terminal.ended()).toBe(1);
    expect(terminal.events.at(-1)).toMatchObject({ event: 'expired' });
  });

  test('refuses the code that was made for another client', async () => {
    await using terminal = connect('chatgpt');
    const code = await terminal.code();
    for (const kind of [HOSTS.claude, claudeCode(), HOSTS.other]) {
      const { asking } = await ask(kind);
      await using watched = await open(asking);
      const sent = await enter(watched.page, code);
      await shot(watched.page, `consent-other-${kind.client}`);
      expect(sent).toHaveLength(1);
      expect(await watched.page.$eval('[role=alert]', (element) => element.textContent)).toContain('ChatGPT');
    }
    expect(terminal.events.map(({ event }) => event)).toEqual(['code']);
  });

  test('takes one code in one of two tabs', async () => {
    await using terminal = connect('claude-code', '--yes');
    const code = await terminal.code();
    const [first, second] = [await ask(claudeCode()), await ask(claudeCode())];
    await using one = await open(first.asking);
    await using other = await open(second.asking);
    const before = arrived.length;
    await enter(one.page, code);
    await eventually('the answer arrives', () => arrived.length > before);
    const answer = arrived.at(-1) ?? new URL(server.issuer);
    await enter(other.page, code);
    expect(await other.page.$eval('[role=alert]', (element) => element.textContent)).toContain('wrong');
    expect(arrived).toHaveLength(before + 1);
    const tokens = await first.host.exchange(first.asking, answer);
    expect((await server.call(tokens.access)).status).toBe(200);
  });

  test('ends with a no, which needs no code', async () => {
    await using terminal = connect('claude-code');
    await terminal.code();
    const { asking } = await ask(claudeCode());
    await using watched = await open(asking);
    const before = arrived.length;
    await (await watched.page.$('button[value=deny]'))?.click();
    await eventually('the answer arrives', () => arrived.length > before);
    expect(arrived.at(-1)?.searchParams.get('error')).toBe('access_denied');
  });

  test('shows what a stranger calls himself as text, and where he really is', async () => {
    const evil = '<script>alert(1)</script><img src=x onerror=alert(2)>\u202eTPGtahC" autofocus onfocus="alert(3)';
    const { server: known } = await OAuthHost.discover(HOSTS.claude, server.mcp);
    const registered = (await (
      await fetch(known.registration_endpoint ?? '', {
        method: 'POST',
        body: JSON.stringify({ client_name: evil, redirect_uris: ['https://evil.example/chatgpt.com/callback'] }),
      })
    ).json()) as { client_id: string };
    const kind: HostKind = {
      client: 'other',
      clientId: registered.client_id,
      redirect: 'https://evil.example/chatgpt.com/callback',
    };
    const { asking } = await ask(kind, { state: '"><script>alert(4)</script>' });
    await using watched = await open(asking);
    await shot(watched.page, 'consent-stranger');
    expect(watched.faults).toEqual([]);
    expect(await watched.page.evaluate('document.scripts.length + document.images.length')).toBe(0);
    const text = await textOf(watched.page);
    expect(text).not.toContain('\u202e');
    expect(text).toMatch(/^evil\.example$/m);
  });
});
