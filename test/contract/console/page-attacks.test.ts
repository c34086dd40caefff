import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Browser, HTTPRequest } from 'puppeteer-core';
import { digestOf } from '../../../src/access/approval-request.ts';
import { newOrder } from '../../../src/console/order.ts';
import type { PastChanges } from '../../../src/console/shown-past.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { OwnerPage } from '../../helpers/owner-page.ts';
import { eventually } from '../../helpers/waiting.ts';

const obstacle = pageObstacle();

describe.skipIf(obstacle !== undefined)('the page of the console under attack', () => {
  let browser: Browser;
  let host: ConsoleHost;
  let phone: OwnerPage;

  beforeAll(async () => {
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start()]);
    phone = await OwnerPage.open(browser, host);
    await phone.enrol();
  });
  afterAll(async () => {
    await browser?.close();
    await host?.[Symbol.asyncDispose]();
  });

  /** The texts of the blocks of what waits, as the page has them. */
  const shownText = (): Promise<string> =>
    phone.page
      .evaluate("[...document.querySelectorAll('.row')].map((one) => one.textContent).join('\\n')")
      .then(String);
  const showsText = (part: string): Promise<unknown> =>
    eventually(`a request shows ${part}`, async () => (await shownText()).includes(part));
  const denyAll = async (): Promise<void> => {
    const { body } = await host.api('watch', { version: 0, follow: [], wait_ms: 0 }, await phone.bearer());
    for (const { session } of (body['state'] as { waiting: { session: string }[] }).waiting) {
      await host.agent.call('kill_session', { session });
    }
    await phone.shows('Nothing waits');
  };

  describe('a command cannot draw on it', () => {
    test('with HTML', async () => {
      const cmd =
        'rm -f none # <img src=x onerror="document.title=1"><script>alert(1)</script></div><button>Approve</button>';
      await host.ask(cmd, { env: { X: '<b>bold</b>' } });
      await showsText('onerror=');
      expect(await shownText()).toContain(cmd);
      expect(await phone.page.evaluate("document.querySelectorAll('img, b, main script').length")).toBe(0);
      expect(await phone.page.title()).toStartWith('(1) Agent3');
      await denyAll();
    });

    test('with marks of direction, invisible characters and sequences for terminals', async () => {
      await host.ask('rm -f none # \u202egpj.exe\u202c \u200b\u2066 \u001b[2J\u001b[31m\u0007');
      await showsText('\\u{202e}');
      const text = await shownText();
      expect(text).toContain('\\u{202e}gpj.exe\\u{202c} \\u{200b}\\u{2066} \\u{1b}[2J\\u{1b}[31m\\u{7}');
      // Of letters from right to left, the order on the screen is the order in which they run.
      const style = await phone.page.evaluate("getComputedStyle(document.querySelector('.row')).unicodeBidi");
      expect(style).toBe('bidi-override');
      await denyAll();
    });

    test('with empty lines, or a variable that looks like two', async () => {
      await host.ask(`rm -f none${'\n'.repeat(200)}echo behind`, { env: { A: '1\nB=2' } });
      await phone.shows('Show all');
      await phone.press('Show all: 201 lines, 221 characters');
      const text = await shownText();
      expect(text).toContain('empty lines, 2 to 200');
      expect(text).toContain('echo behind');
      expect(text).toContain('A=1\\u{a}B=2');
      await denyAll();
    });

    test('with 100,000 characters', async () => {
      const cmd = `rm -f none #${'x'.repeat(99_980)}END`;
      await host.ask(cmd);
      await phone.shows('Show all: 1 line');
      const width = await phone.page.evaluate('document.documentElement.scrollWidth - innerWidth');
      expect(Number(width)).toBeLessThanOrEqual(0);
      await phone.press(`Show all: 1 line, ${cmd.length.toLocaleString('en-US')} characters`);
      expect((await shownText()).startsWith(cmd)).toBe(true);
      await denyAll();
    });
  });

  test('a session that was stolen cannot approve without the passkey', async () => {
    const session = await host.ask('rm -f none; echo stolen');
    await showsText('echo stolen');
    const digest = digestOf(host.requestOf(session));
    const bearer = await phone.bearer();
    const order = { ...newOrder(), kind: 'approve', session, digest };
    expect(await host.api('order', { order }, bearer)).toMatchObject({ status: 403, body: { error: 'PasskeyNeeded' } });
    expect((await host.agent.read({ session })).status).toBe('waiting');
    await denyAll();
  });

  test('a console that changes what is shown has the approval refused', async () => {
    const { page } = phone;
    const lie = async (request: HTTPRequest): Promise<void> => {
      if (!request.url().endsWith('/api/request')) return request.continue();
      const asked = JSON.parse(request.postData() ?? '{}') as { session: string };
      const shown = JSON.stringify({ ...host.requestOf(asked.session), cmd: 'rm -f harmless' });
      return request.respond({ contentType: 'application/json', body: JSON.stringify({ text: shown, next: null }) });
    };
    await page.setRequestInterception(true);
    page.on('request', lie);
    const session = await host.ask('rm -f none; echo harmful');
    await phone.shows('rm -f harmless');
    await phone.tap('article .primary:enabled');
    await phone.shows('Refused:');
    expect((await host.agent.read({ session })).status).toBe('waiting');
    page.off('request', lie);
    await page.setRequestInterception(false);
    await denyAll();
  });

  test('a console that takes a selected request away, and shows it again as another one, has it selected no more', async () => {
    const { page } = phone;
    const bearer = await phone.bearer();
    const shown = { isThere: true, cmd: 'rm -f harmless' };
    const lie = async (request: HTTPRequest): Promise<void> => {
      const asked = JSON.parse(request.postData() ?? '{}') as { session: string };
      const respond = (body: object) =>
        request.respond({ contentType: 'application/json', body: JSON.stringify(body) });
      if (request.url().endsWith('/api/request')) {
        const text = JSON.stringify({ ...host.requestOf(asked.session), cmd: shown.cmd });
        return respond({ text, next: null });
      }
      if (!request.url().endsWith('/api/watch')) return request.continue();
      const { body } = await host.api('watch', { version: 0, follow: [], wait_ms: 0 }, bearer);
      const state = body['state'] as { readonly waiting: readonly object[] };
      await Bun.sleep(100);
      return respond({ ...body, state: { ...state, waiting: shown.isThere ? state.waiting : [] } });
    };
    const session = await host.ask('rm -f none; echo harmful');
    await page.setRequestInterception(true);
    page.on('request', lie);
    await page.reload();
    await phone.shows('rm -f harmless');
    await phone.tap('article input[type=checkbox]');
    await phone.shows('1 selected');
    shown.isThere = false;
    await phone.shows('Nothing waits');
    Object.assign(shown, { isThere: true, cmd: 'rm -f none; echo harmful' });
    await phone.shows('echo harmful');
    expect(await phone.text()).not.toContain('selected');
    expect(await page.$$('article input:checked')).toEqual([]);
    expect((await host.agent.read({ session })).status).toBe('waiting');
    page.off('request', lie);
    await page.setRequestInterception(false);
    await denyAll();
  });

  test('a console that lists a change under the name of another file has nothing undone', async () => {
    const { page } = phone;
    const bearer = await phone.bearer();
    const path = host.join('allowed-users.conf');
    writeFileSync(path, 'one\n');
    await host.agent.call('write_file', { path, content: 'two\n' });
    const lie = async (request: HTTPRequest): Promise<void> => {
      if (!request.url().endsWith('/api/changes')) return request.continue();
      const { body } = await host.api('changes', JSON.parse(request.postData() ?? '{}'), bearer);
      const changes = (body as unknown as PastChanges).changes.map((one) => ({ ...one, path: '/home/anna/notes.txt' }));
      return request.respond({ contentType: 'application/json', body: JSON.stringify({ ...body, changes }) });
    };
    await page.setRequestInterception(true);
    page.on('request', lie);
    await phone.go('history');
    await phone.press('Files');
    await phone.press('Difference in /home/anna/notes.txt');
    await phone.shows('The list and the details of this change differ');
    await phone.shows(path);
    expect(await page.evaluate("document.querySelectorAll('button[aria-label^=Undo]').length")).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe('two\n');
    page.off('request', lie);
    await page.setRequestInterception(false);
    await phone.go('waiting');
  });

  test('a session without a passkey looks, denies, stops and freezes, and cannot approve', async () => {
    await using visitor = await OwnerPage.open(browser, host);
    // Of the same browser, but without what the phone has kept.
    await visitor.page.goto(host.origin);
    const kept = await phone.bearer();
    await visitor.page.evaluate("localStorage.removeItem('agent3-bearer')");
    await host.link(async (url) => {
      await visitor.page.goto('about:blank');
      await visitor.page.goto(url);
      await visitor.type('Name of this device', 'Guest');
      await visitor.press('Continue without a passkey');
      await visitor.shows('Confirm on the server');
    });
    await visitor.shows('Signed in as Guest');
    await visitor.shows('This session has no passkey');
    const session = await host.ask('rm -f none');
    await visitor.shows('rm -f none');
    expect(await visitor.page.evaluate("document.querySelector('article .primary').disabled")).toBe(true);
    await visitor.tap('article button[aria-label^="Deny"]');
    await visitor.press('Deny now');
    expect((await host.ended(session)).status).toBe('denied');
    await visitor.page.evaluate(`localStorage.setItem('agent3-bearer', '${kept}')`);
  });

  test('a link that root refuses pins nothing', async () => {
    await using stranger = await OwnerPage.open(browser, host);
    await host.link(async (url) => {
      await stranger.page.goto(url);
      await stranger.press('Create a passkey');
      await stranger.shows('Fingerprint');
    }, 'n');
    await stranger.shows('The link was refused');
  });
});
