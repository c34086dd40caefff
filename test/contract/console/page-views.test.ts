import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'puppeteer-core';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import type { LinkTerminal } from '../../helpers/console-server.ts';
import { DESK, OwnerPage, PHONE } from '../../helpers/owner-page.ts';
import { eventually } from '../../helpers/waiting.ts';

const obstacle = pageObstacle();
const AXE = readFileSync(join(import.meta.dir, '../../../node_modules/axe-core/axe.min.js'), 'utf8');

/** A command that hides, pushes what matters off the screen, and looks like another. */
const HOSTILE = `${'echo a line of many\n'.repeat(60)}\n\n\n\n\n\nrm -f none; echo раураl \u202e; echo "\u001b[31m"`;

const VIEWS = ['waiting', 'now', 'history', 'clients', 'server', 'notifications'] as const;
const LOOKS = [
  ['a phone, light', PHONE, 'light'],
  ['a phone, dark', PHONE, 'dark'],
  ['a desk, light', DESK, 'light'],
  ['a desk, dark', DESK, 'dark'],
] as const;

describe.skipIf(obstacle !== undefined)('every view of the console', () => {
  let browser: Browser;
  let host: ConsoleHost;
  let owner: OwnerPage;
  let terminal: LinkTerminal;

  beforeAll(async () => {
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start()]);
    owner = await OwnerPage.open(browser, host);
    await owner.enrol();
    terminal = host.openLink();
    await host.newToken('deploy');
    const { agent } = host;
    await agent.shell({ cmd: 'false' });
    await agent.shell({ cmd: 'echo started; echo careful >&2; sleep 1000; true', background: true });
    await host.onTerminal('echo on a terminal; sleep 1000; true');
    await host.ask(HOSTILE, { stdin: 'yes\n', env: { NAME: 'Anna' } });
    await host.ask('rm -f none', { cwd: '/tmp' });
  });
  afterAll(async () => {
    terminal?.kill('SIGTERM');
    await browser?.close();
    await host?.[Symbol.asyncDispose]();
  });

  /** What axe finds that keeps people out, and whether anything sticks out to the side. */
  const faultsHere = async (): Promise<string[]> => {
    const { page } = owner;
    const found = (await page.evaluate('axe.run({ resultTypes: ["violations"] })')) as {
      violations: { id: string; impact: string; nodes: { html: string }[] }[];
    };
    const overflow = Number(await page.evaluate('document.documentElement.scrollWidth - innerWidth'));
    return [
      ...found.violations
        .filter(({ impact }) => ['serious', 'critical'].includes(impact))
        .map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)}`),
      ...(overflow > 0 ? [`${overflow} pixels stick out to the side`] : []),
    ];
  };
  const openOutputs = async (): Promise<void> => {
    const closed = "[...document.querySelectorAll('article button[aria-expanded=false]')]";
    await owner.page.waitForFunction(`${closed}.length === 2`);
    await owner.page.evaluate(`${closed}.forEach((one) => one.click())`);
  };
  const look = async (viewport: typeof PHONE | typeof DESK, scheme: string): Promise<void> => {
    await owner.page.setViewport(viewport);
    await owner.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await owner.page.reload();
    await owner.page.evaluate(AXE);
  };

  describe.each(LOOKS)('on %s', (name, viewport, scheme) => {
    test('has no serious finding of axe-core and fits the width', async () => {
      const faults: string[] = [];
      await look(viewport, scheme);
      for (const view of VIEWS) {
        await owner.go(view);
        await owner.page.waitForSelector('h1:not(.empty)');
        if (view === 'waiting') await owner.shows('rm -f none');
        if (view === 'now') await openOutputs();
        if (view === 'now') await owner.page.waitForSelector('.xterm-rows');
        if (view === 'history') await owner.page.waitForSelector('.list .command');
        if (view === 'clients') await owner.shows('deploy');
        if (view === 'server') await owner.shows('Load (1, 5, 15 min)');
        if (view === 'notifications') await owner.page.waitForSelector('main [role=status]');
        const open = "document.querySelectorAll('main details').forEach((one) => { one.open = true; })";
        if (view === 'waiting' || view === 'clients') await owner.page.evaluate(open);
        faults.push(...(await faultsHere()).map((fault) => `${view}: ${fault}`));
        await owner.shot(`${view}-${name.replace(', ', '-').replace('a ', '')}`);
      }
      await owner.press('Freeze');
      faults.push(...(await faultsHere()).map((fault) => `freeze: ${fault}`));
      await owner.press('Cancel');
      expect(faults).toEqual([]);
    });
  });

  describe.each(LOOKS)('for who is not signed in, on %s', (_, viewport, scheme) => {
    test('has no serious finding of axe-core and fits the width', async () => {
      const { hash } = new URL(await terminal.url());
      const bearer = await owner.bearer();
      const faults: string[] = [];
      await owner.page.evaluate("localStorage.removeItem('agent3-bearer')");
      await look(viewport, scheme);
      for (const [fragment, shown] of [
        ['', 'Sign in with a passkey'],
        ['#link=broken', 'not a whole link'],
        [hash, 'Create a passkey'],
      ] as const) {
        await owner.page.evaluate(`location.hash = '${fragment}'`);
        await owner.shows(shown);
        faults.push(...(await faultsHere()));
      }
      await owner.page.evaluate(`localStorage.setItem('agent3-bearer', '${bearer}')`);
      expect(faults).toEqual([]);
    });
  });

  test('has buttons that a finger hits', async () => {
    await look(PHONE, 'light');
    const small: string[] = [];
    for (const view of VIEWS) {
      await owner.go(view);
      await owner.page.waitForSelector('h1:not(.empty)');
      const found = await owner.page.evaluate(`
        [...document.querySelectorAll('button:not(.skip), nav a, .tick, input[type=text]')]
          .filter((one) => { const { width, height } = one.getBoundingClientRect(); return width < 44 || height < 44; })
          .map((one) => one.outerHTML.slice(0, 200))`);
      small.push(...(found as string[]));
    }
    expect(small).toEqual([]);
  });

  test('are in Spanish where that was chosen, with nothing that sticks out, and in English again', async () => {
    await look(PHONE, 'light');
    await owner.press('Español');
    await owner.page.waitForFunction("document.documentElement.lang === 'es'");
    await owner.page.evaluate(AXE);
    const faults: string[] = [];
    for (const view of VIEWS) {
      await owner.go(view);
      await owner.page.waitForSelector('h1:not(.empty)');
      if (view === 'waiting') await owner.shows('Aprobar');
      if (view === 'now') await openOutputs();
      if (view === 'now') {
        await owner.press('Tomar el control');
        faults.push(...(await faultsHere()).map((fault) => `take over: ${fault}`));
        await owner.shot('take-over-es');
        await owner.press('Tomar el control ahora');
        await owner.shows('El modelo espera.');
      }
      faults.push(...(await faultsHere()).map((fault) => `${view}: ${fault}`));
      await owner.shot(`${view}-es`);
      if (view === 'now') await owner.press('Devolver el control');
    }
    await owner.press('Congelar');
    faults.push(...(await faultsHere()).map((fault) => `freeze: ${fault}`));
    await owner.shot('freeze-es');
    await owner.press('Cancelar');
    expect(faults).toEqual([]);
    await owner.press('English');
    await owner.page.waitForFunction("document.documentElement.lang === 'en'");
    await owner.shows('Clients');
  });

  test('finds a session, shows what hides in it, plays it back, and says when it has expired', async () => {
    const { agent } = host;
    const cmd = "printf 'one\\n<b>bold</b>\\033[31m\\n'; sleep 1.3; printf '\\342\\200\\256two\\n' # <i>tag</i>";
    const token = await host.newToken('drawn', 'full');
    const pty = { cmd: "printf '\\033[31mred'; sleep 1.2; echo over", pty: true, rows: 8, cols: 30 };
    const drawn = eventually('it is drawn', async () => (await host.shellWith(token, pty)) === 200);
    const [{ session }] = await Promise.all([agent.shell({ cmd, key: 'played' }), drawn]);
    // What throws is not waited for.
    const output = "(document.querySelector('.output')?.textContent ?? '')";
    await owner.page.emulateMediaFeatures([]);
    await owner.go('history');
    await owner.type('Search', '<I>TAG');
    await owner.page.waitForFunction("document.querySelectorAll('.list > li').length === 1");
    await owner.tap('.list a.button');
    await owner.page.waitForFunction(`${output}.includes('\\\\u{202e}two')`);
    expect(await owner.page.evaluate("document.querySelectorAll('main b, main i').length")).toBe(0);
    // Between the two, however late the command began.
    const range = "document.querySelector('input[type=range]')";
    await owner.page.evaluate(
      `${range}.value = ${range}.max - 900, ${range}.dispatchEvent(new Event('input', { bubbles: true }))`,
    );
    await owner.page.waitForFunction(`${output}.includes('<b>bold</b>') && !${output}.includes('two')`);
    await owner.press('Play');
    await owner.page.waitForFunction(`${output}.includes('two')`);
    await owner.finds('Play');
    await owner.page.evaluate(AXE);
    expect(await faultsHere()).toEqual([]);
    await owner.shot('session');
    await owner.tap('a[href="#history"].button');
    await owner.type('Search', 'echo over');
    await owner.page.waitForFunction(
      "document.querySelector('.list')?.textContent.startsWith('printf \\'\\\\033[31mred')",
    );
    await owner.tap('.list a.button');
    await owner.page.waitForFunction("document.querySelector('.xterm-rows')?.textContent.includes('redover')");
    await agent.call('close_session', { session });
    await owner.page.goto(`${host.origin}/#history/${session}`);
    await owner.shows('This session has expired');
    await owner.shows('In the record');
    await owner.go('history');
    await owner.press('Record');
    await owner.type('Search', '<I>TAG');
    await owner.page.waitForFunction("document.querySelector('.list')?.textContent.includes('<i>tag</i>')");
    expect(await owner.page.evaluate("document.querySelectorAll('main b, main i').length")).toBe(0);
    await owner.page.evaluate(AXE);
    expect(await faultsHere()).toEqual([]);
  });

  test('shows a change of a file, and undoes it with a passkey', async () => {
    const path = host.join('config <b>');
    writeFileSync(path, 'one\n');
    await host.agent.call('write_file', { path, content: 'two\n' });
    await owner.go('history');
    await owner.press('Files');
    await owner.type('Search', 'CONFIG <');
    await owner.press(`Difference in ${path}`);
    await owner.page.waitForFunction("document.querySelector('.row.added')?.textContent === '+two'");
    await owner.shows(Bun.SHA256.hash('one\n', 'hex'));
    await owner.shows(Bun.SHA256.hash('two\n', 'hex'));
    await owner.page.evaluate(AXE);
    expect(await faultsHere()).toEqual([]);
    await owner.shot('files');
    await owner.press(`Undo the change of ${path}`);
    await owner.shows('Undone.');
    expect(readFileSync(path, 'utf8')).toBe('one\n');
  });

  test('warns in full once, then on one line', async () => {
    const texts = "[...document.querySelectorAll('details.red')].map((one) => one.open)";
    await owner.page.evaluate("localStorage.removeItem('agent3-read')");
    await owner.page.reload();
    await owner.page.waitForSelector('details.red');
    expect(await owner.page.evaluate(texts)).toEqual([true]);
    await owner.go('waiting');
    await owner.go('now');
    expect(await owner.page.evaluate(texts)).toEqual([false]);
  });

  test('says to a screen reader that a command waits, and keeps the place of a keyboard', async () => {
    await owner.go('waiting');
    await owner.shows('rm -f none');
    const session = await host.ask('rm -f other');
    await owner.page.waitForFunction(
      "[...document.querySelectorAll('[role=status]')].some((one) => one.textContent.includes('3 commands wait for you'))",
    );
    // Only what was read can be denied: until then nothing takes the focus.
    const deny = `[...document.querySelectorAll('article button[aria-label^="Deny request"]:enabled')]`;
    await owner.page.waitForFunction(`${deny}.length === 3`);
    await owner.page.evaluate(`${deny}[2].focus()`);
    await host.agent.call('kill_session', { session });
    await owner.page.waitForFunction("document.querySelectorAll('article').length === 2");
    expect(await owner.page.evaluate('document.activeElement.tagName')).toBe('H1');
  });
});
