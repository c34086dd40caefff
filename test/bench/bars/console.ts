import type { Browser } from 'puppeteer-core';
import { pageFiles } from '../../../src/console/page-files.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { OwnerPage } from '../../helpers/owner-page.ts';
import { eventually } from '../../helpers/waiting.ts';
import { limitRow, median, missingRow, type Row } from '../bar.ts';
import { rssMib } from '../servers.ts';

const SESSIONS = 20;
const BUSY = 32;
const WATCHED_MS = 8000;

/** The owner's page in Chromium, on this machine. */
export async function consolePage(): Promise<Row[]> {
  const bytes = Object.values(pageFiles()).reduce((sum, file) => sum + Bun.gzipSync(file.bytes).length, 0);
  const size = limitRow('Console: the page, compressed, with its terminal', bytes / 1000, 'kB', 250);
  const obstacle = pageObstacle();
  if (obstacle !== undefined) return [size, missingRow('Console in a browser', obstacle)];
  const browser = await openBrowser();
  try {
    return [
      size,
      await firstPaint(browser),
      await liveOutput(browser),
      ...(await flood(browser)),
      await freeze(browser),
    ];
  } finally {
    await browser.close();
  }
}

async function withPage<T>(browser: Browser, use: (host: ConsoleHost, page: OwnerPage) => Promise<T>): Promise<T> {
  await using host = await ConsoleHost.start({ AGENT3_MAX_RUNNING: '64' });
  await using page = await OwnerPage.open(browser, host);
  await page.enrol();
  return await use(host, page);
}

/** From the start of the console's process to a request that can be read. */
function firstPaint(browser: Browser): Promise<Row> {
  return withPage(browser, async (host, { page }) => {
    await host.ask('rm -f none');
    const took: number[] = [];
    for (let round = 0; round < 5; round++) {
      await page.goto('about:blank');
      await host.console.stop();
      const start = performance.now();
      await host.console.restart();
      await page.goto(`${host.origin}/#waiting`);
      await page.waitForSelector('article .row');
      took.push(performance.now() - start);
    }
    return limitRow('Console: from its start to a request on the screen', median(took), 'ms', 1000);
  });
}

/** What is written at the time that it names, until it is in the page. */
function liveOutput(browser: Browser): Promise<Row> {
  return withPage(browser, async (host, owner) => {
    for (let one = 0; one < SESSIONS; one++)
      await host.agent.shell({ cmd: 'while sleep 0.5; do date +@%s%3N@; done', background: true });
    await showOutputs(owner, SESSIONS);
    await owner.page.evaluate(`
      window.late = [];
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes)
          for (const [, at] of node.textContent.matchAll(/@(\\d{13})@/g)) window.late.push(Date.now() - Number(at));
      }).observe(document.body, { childList: true, subtree: true });`);
    await Bun.sleep(WATCHED_MS);
    const late = (await owner.page.evaluate('window.late')) as number[];
    return limitRow(`Console: live output of ${SESSIONS} sessions, p95`, median(late, 0.95), 'ms', 250);
  });
}

async function showOutputs({ page }: OwnerPage, count: number): Promise<void> {
  await page.evaluate("location.hash = '#now'");
  const buttons = await eventually('all of them run', async () => {
    const found = await page.$$('article button[aria-expanded=false]');
    return found.length === count && found;
  });
  for (const button of buttons) await button.evaluate((one) => (one as { click(): void }).click());
}

/** A session that writes 50 MB/s: how long the page is frozen, and how much the agent grows. */
function flood(browser: Browser): Promise<Row[]> {
  return withPage(browser, async (host, owner) => {
    const cmd = `while :; do yes ${'x'.repeat(98)} | head -c 5000000; sleep 0.08; done`;
    const start = performance.now();
    const { session } = await host.agent.shell({ cmd, background: true });
    await showOutputs(owner, 1);
    const before = rssMib(host.agent.pid);
    await owner.page.evaluate(`
      window.gaps = []; let last = performance.now();
      const frame = () => { const now = performance.now(); window.gaps.push(now - last); last = now; requestAnimationFrame(frame); };
      requestAnimationFrame(frame);`);
    await Bun.sleep(WATCHED_MS);
    const gaps = (await owner.page.evaluate('window.gaps')) as number[];
    const { stdout_bytes } = await host.agent.read({ session });
    const rate = Math.round(Number(stdout_bytes) / 1e6 / ((performance.now() - start) / 1000));
    return [
      limitRow(`Console: a session that writes ${rate} MB/s, longest frame of the page`, Math.max(...gaps), 'ms', 500),
      limitRow('the same: growth of the agent’s RSS', rssMib(host.agent.pid) - before, 'MiB', 16),
    ];
  });
}

/** From the tap on Freeze to the first call that is refused, while commands take all that the machine has. */
function freeze(browser: Browser): Promise<Row> {
  return withPage(browser, async (host, owner) => {
    for (let one = 0; one < BUSY; one++) await host.agent.shell({ cmd: 'while :; do :; done', background: true });
    await owner.press('Freeze');
    const tapped = await owner.page.waitForSelector('dialog button.danger');
    let last = 0;
    const start = performance.now();
    const tapping = tapped?.evaluate((one) => (one as { click(): void }).click());
    await eventually('a call is refused', async () => {
      const { status } = await host.agent.call('shell', { cmd: 'true' });
      if (status === 200) last = performance.now() - start;
      return status === 503;
    });
    await tapping;
    return limitRow(
      `Console: from the tap on Freeze to the last command that started, under ${BUSY} busy ones`,
      last,
      'ms',
      1000,
    );
  });
}
