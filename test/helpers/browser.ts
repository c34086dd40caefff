import { setDefaultTimeout } from 'bun:test';
import { type Browser, type ConsoleMessage, launch, type Page } from 'puppeteer-core';
import { ensurePrograms } from './debian.ts';

/** A page shows within a second on a quiet machine. On a busy one, the browser itself takes longer than that to start. */
const TIMEOUT_MS = 120_000;
setDefaultTimeout(TIMEOUT_MS + 60_000);

/** Why there is no browser here; undefined when there is one. Throws in CI, where the tests must not be left out. */
export function browserObstacle(): string | undefined {
  const missing = ensurePrograms('chromium', 'fc-list');
  if (missing.length === 0) return undefined;
  const obstacle = `${missing.join(', ')} cannot be had: on Debian, apt-get install chromium`;
  if (process.env['CI'] === 'true') throw new Error(`no page can be tested: ${obstacle}`);
  return obstacle;
}

/** Debian's Chromium without a window and with the network cut: only this machine can be reached. */
export async function openBrowser(): Promise<Browser> {
  return launch({
    executablePath: Bun.which('chromium') ?? '/usr/bin/chromium',
    headless: true,
    timeout: TIMEOUT_MS,
    // The certificate of the tests is their own.
    acceptInsecureCerts: true,
    defaultViewport: { width: 1000, height: 760 },
    args: [
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      '--disable-dev-shm-usage',
      // Chromium's sandbox refuses root, and the page is our own.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
}

/** A page and all that it did: every request, and everything that a person would find in red in the browser's console. */
export class WatchedPage implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly faults: string[] = [];

  private constructor(readonly page: Page) {
    page.on('request', (request) => this.requests.push(request.url()));
    page.on('requestfailed', (request) => this.faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    page.on('response', (response) => {
      if (response.status() >= 400) this.faults.push(`${response.status()}: ${response.url()}`);
    });
    page.on('pageerror', (error) => this.faults.push(`thrown: ${String(error)}`));
    page.on('console', (message: ConsoleMessage) => {
      if (['error', 'warn', 'assert'].includes(message.type())) this.faults.push(`console: ${message.text()}`);
    });
  }

  static async open(browser: Browser): Promise<WatchedPage> {
    const page = await browser.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    const watched = new WatchedPage(page);
    // The policy's own word on each breach: not all of them reach the console.
    await watched.page.evaluateOnNewDocument(
      `document.addEventListener('securitypolicyviolation', (event) =>
         console.error('policy: ' + event.effectiveDirective + ' ' + event.blockedURI));`,
    );
    return watched;
  }

  /** Origins that the page sent requests to; `data:` URLs leave no browser. */
  get origins(): string[] {
    const sent = this.requests.filter((url) => !url.startsWith('data:'));
    return [...new Set(sent.map((url) => new URL(url).origin))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.close();
  }
}
