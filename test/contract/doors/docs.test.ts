import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'puppeteer-core';
import { startAgent } from '../../helpers/agent.ts';
import { browserObstacle, openBrowser, WatchedPage } from '../../helpers/browser.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

// The public URL is another one than the page is loaded from: nothing may go there.
const agent = await startAgent({
  AGENT3_PUBLIC_URL: 'https://agent.example.org',
  AGENT3_API_TOKEN: 'the-token-of-your-agent',
});
afterAll(() => agent[Symbol.asyncDispose]());

const FILES = {
  '/docs': 'text/html; charset=utf-8',
  '/docs/start.js': 'text/javascript; charset=utf-8',
  '/docs/swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  '/docs/swagger-ui.css': 'text/css; charset=utf-8',
  '/docs/favicon.png': 'image/png',
};

describe('each part of the page:', () => {
  test.each(Object.entries(FILES))('%s comes without a token, as %s', async (path, type) => {
    const { status, headers, text } = await agent.request(path);
    expect({ status, type: headers.get('content-type') }).toEqual({ status: 200, type });
    expect(text.length).toBeGreaterThan(100);
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test.each(Object.keys(FILES))(
    '%s has a policy that allows the agent alone, and no script in the page',
    async (path) => {
      const { headers } = await agent.request(path);
      const policy = Object.fromEntries(
        (headers.get('content-security-policy') ?? '').split('; ').map((part) => {
          const [name, ...values] = part.split(' ');
          return [name, values.join(' ')];
        }),
      );
      expect(policy).toEqual({
        'default-src': "'none'",
        'script-src': "'self'",
        'style-src': "'self'",
        'img-src': "'self' data:",
        'connect-src': "'self'",
        'base-uri': "'none'",
        'form-action': "'none'",
        'frame-ancestors': "'none'",
      });
      expect({
        options: headers.get('x-content-type-options'),
        frame: headers.get('x-frame-options'),
        referrer: headers.get('referrer-policy'),
        resource: headers.get('cross-origin-resource-policy'),
      }).toEqual({ options: 'nosniff', frame: 'DENY', referrer: 'no-referrer', resource: 'same-origin' });
    },
  );

  test.each(Object.keys(FILES))('%s is answered to HEAD without a body', async (path) => {
    const [get, head] = [await fetch(agent.url + path), await agent.request(path, { method: 'HEAD' })];
    expect({ status: head.status, text: head.text }).toEqual({ status: 200, text: '' });
    expect(Number(head.headers.get('content-length'))).toBe((await get.arrayBuffer()).byteLength);
    expect(head.headers.get('etag')).toBe(get.headers.get('etag'));
  });

  test.each(Object.keys(FILES))('%s is sent again only when it has changed', async (path) => {
    const etag = (await agent.request(path)).headers.get('etag') ?? '';
    const again = (known: string) => agent.request(path, { headers: { 'if-none-match': known } });
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const { status, text, headers } = await again(known);
      expect({ status, text, etag: headers.get('etag') }).toEqual({ status: 304, text: '', etag });
    }
    expect((await again('"other"')).status).toBe(200);
  });

  test.each(Object.keys(FILES))('%s has no other method', async (path) => {
    const reply = await agent.request(path, { method: 'POST' });
    expectRefusal(reply, 405, 'Method not allowed');
    expect(reply.headers.get('allow')).toBe('GET, HEAD');
  });

  test('has its line in the log', async () => {
    const { headers, text } = await agent.request('/docs');
    const line = await agent.log.find(
      'the line of the page',
      (candidate) => candidate['request_id'] === headers.get('x-request-id'),
    );
    expect(line).toMatchObject({ method: 'GET', path: '/docs', status: 200, bytes: text.length });
  });
});

describe('the page', () => {
  test('names no other host, and has no script or style in itself', async () => {
    const [page, start] = [await agent.request('/docs'), await agent.request('/docs/start.js')];
    expect(page.text + start.text).not.toMatch(/\/\/[a-z]|unpkg|jsdelivr|cdn/i);
    expect(page.text).not.toMatch(/<style|style=|<script(?![^>]* src=)|\son[a-z]+=/i);
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => `/${match[1]}`);
    expect(loaded.sort()).toEqual(Object.keys(FILES).slice(1).sort());
  });

  test('has nothing else below it', async () => {
    const headers = { 'x-auth-token': agent.token };
    for (const path of ['/docs/swagger-ui.css.map', '/docs/..%2fopenapi.json'])
      expectRefusal(await agent.request(path, { headers }), 404, 'Not found');
  });

  test('has a document of its own, with examples that can be sent as they are', async () => {
    const { paths, servers } = JSON.parse((await agent.request('/openapi.json?door=docs')).text);
    expect(servers).toEqual([expect.objectContaining({ url: '.' })]);
    expect(paths['/shell'].post.requestBody.content['application/json'].example).toEqual({ cmd: 'uptime' });
    expect(paths['/server_info'].post.requestBody.content['application/json'].example).toEqual({});
  });
});

const obstacle = browserObstacle();
if (obstacle !== undefined) console.error(`docs: the page is not tried in a browser: ${obstacle}`);

/** Where the pictures of the README go when `AGENT3_TEST_PICTURES` is set, to make them again. */
const PICTURES =
  Bun.env['AGENT3_TEST_PICTURES'] === undefined ? undefined : join(import.meta.dir, '../../../ops/pictures');

describe.skipIf(obstacle !== undefined)('in Chromium with the network cut', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());

  const authorize = async ({ page }: WatchedPage, token: string, name?: string): Promise<void> => {
    await page.locator('.btn.authorize.unlocked').click();
    await page.locator('.auth-container input').fill(token);
    await picture(page, name);
    await page.keyboard.press('Enter');
    await page.locator('.btn-done').click();
    await page.locator('.btn.authorize.locked').wait();
  };

  /** Runs `cmd` as a person does, and returns what the page then shows of the answer. */
  const runCommand = async ({ page }: WatchedPage, cmd: string): Promise<{ status: string; body: string }> => {
    const shell = '#operations-operations-shell';
    await page.locator(`${shell} .opblock-summary-control`).click();
    await page.locator(`${shell} .try-out__btn`).click();
    await page.locator(`${shell} .body-param__text`).fill(JSON.stringify({ cmd }, undefined, 2));
    await page.locator(`${shell} .btn.execute`).click();
    const shown = `${shell} .live-responses-table .response`;
    await page.locator(`${shown} pre`).wait();
    const text = async (selector: string): Promise<string> =>
      String(await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`));
    return { status: await text(`${shown} .response-col_status`), body: await text(`${shown} pre`) };
  };

  test('it loads, and a command runs from it; no request fails or leaves the agent', async () => {
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`${agent.url}/docs`, { waitUntil: 'networkidle0' });
    await authorize(watched, agent.token, 'docs-authorize.png');
    const { status, body } = await runCommand(watched, 'echo "out of $((6 * 7))"; ls /nowhere');
    expect(status.trim()).toBe('200');
    expect(JSON.parse(body)).toMatchObject({ stdout: 'out of 42\n', exit_code: 2 });
    await picture(watched.page, 'docs-shell.png', '#operations-operations-shell');
    expect(watched.faults).toEqual([]);
    expect(watched.origins).toEqual([agent.url]);
    const paths = watched.requests.filter((url) => url.startsWith('http')).map((url) => url.slice(agent.url.length));
    expect(paths.sort()).toEqual([...Object.keys(FILES), '/openapi.json?door=docs', '/shell'].sort());
  });

  test('a wrong token is told, and nothing runs', async () => {
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`${agent.url}/docs`, { waitUntil: 'networkidle0' });
    await authorize(watched, 'not-the-token-of-your-agent');
    const { status, body } = await runCommand(watched, 'echo ran');
    expect(status.trim()).toStartWith('403');
    expect(JSON.parse(body)).toMatchObject({ error: 'Unauthorized' });
  });

  test('the token is kept nowhere, and is gone with the page', async () => {
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`${agent.url}/docs`, { waitUntil: 'networkidle0' });
    await authorize(watched, agent.token);
    const kept = await watched.page.evaluate(
      '[localStorage.length, sessionStorage.length, document.cookie, location.href]',
    );
    expect(kept).toEqual([0, 0, '', `${agent.url}/docs`]);
    await watched.page.reload({ waitUntil: 'networkidle0' });
    await watched.page.locator('.btn.authorize.unlocked').wait();
  });

  test('a script in it could send nothing to another host, and none can be put into it', async () => {
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`${agent.url}/docs`, { waitUntil: 'networkidle0' });
    await watched.page.evaluate(`{
      fetch('https://elsewhere.example/').catch(() => {});
      new Image().src = 'https://elsewhere.example/picture';
      const script = document.createElement('script');
      script.textContent = 'window.injected = true';
      document.body.append(script);
      const foreign = document.createElement('script');
      foreign.src = 'https://elsewhere.example/script.js';
      document.body.append(foreign);
    }`);
    const breach = (text: string) => () => watched.faults.some((fault) => fault === `console: policy: ${text}`);
    await eventually('fetch is refused', breach('connect-src https://elsewhere.example/'));
    await eventually('the picture is refused', breach('img-src https://elsewhere.example/picture'));
    await eventually('the script in the page is refused', breach('script-src-elem inline'));
    await eventually('the foreign script is refused', breach('script-src-elem https://elsewhere.example/script.js'));
    expect(await watched.page.evaluate('window.injected')).toBeUndefined();
  });

  test('it works over HTTPS behind a proxy that puts it below a path', async () => {
    using directory = new TemporaryDirectory();
    const { cert, key } = makeCertificate(directory.path, '127.0.0.1');
    await using proxy = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      tls: { cert: Bun.file(cert), key: Bun.file(key) },
      fetch: async ({ url, method, headers, body }) => {
        const { pathname, search } = new URL(url);
        if (!pathname.startsWith('/box/')) return new Response('not here', { status: 404 });
        return fetch(`${agent.url}${pathname.slice('/box'.length)}${search}`, { method, headers, body });
      },
    });
    await using watched = await WatchedPage.open(browser);
    await watched.page.goto(`https://127.0.0.1:${proxy.port}/box/docs`, { waitUntil: 'networkidle0' });
    await authorize(watched, agent.token);
    const { body } = await runCommand(watched, 'echo behind');
    expect(JSON.parse(body)).toMatchObject({ stdout: 'behind\n' });
    expect(watched.faults).toEqual([]);
    expect(watched.origins).toEqual([`https://127.0.0.1:${proxy.port}`]);
  });
});

/** Takes a picture for the README: of what is seen, or of an opened operation down to its answer. */
async function picture(page: WatchedPage['page'], name: string | undefined, operation?: string): Promise<void> {
  if (PICTURES === undefined || name === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  const path = join(PICTURES, name) as `${string}.png`;
  if (operation === undefined) {
    await page.screenshot({ path });
    return;
  }
  const top = await (await page.$(operation))?.boundingBox();
  const answer = await (await page.$(`${operation} .live-responses-table`))?.boundingBox();
  if (!top || !answer) throw new Error(`${operation} is not open`);
  const scrolled = Number(await page.evaluate('window.scrollY'));
  const clip = { x: top.x, y: top.y + scrolled, width: top.width, height: answer.y + answer.height - top.y };
  await page.screenshot({ path, clip, captureBeyondViewport: true });
}
