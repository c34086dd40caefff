import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { WatchedPage } from './browser.ts';
import type { ConsoleHost } from './console-host.ts';
import { eventually } from './waiting.ts';

export const PHONE = { width: 360, height: 740, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
export const DESK = { width: 1100, height: 800 };

/** Where pictures of the page go when `AGENT3_TEST_SHOTS` names a directory, for a person to look at. */
const SHOTS = Bun.env['AGENT3_TEST_SHOTS'];

/** Where its console is, and how root links a phone there. */
type Host = Pick<ConsoleHost, 'origin' | 'link'>;

/** The console in a browser, with an authenticator that a person has unlocked. */
export class OwnerPage implements AsyncDisposable {
  private constructor(
    readonly host: Host,
    readonly watched: WatchedPage,
  ) {}

  static async open(browser: Browser, host: Host, viewport: typeof PHONE | typeof DESK = PHONE) {
    const watched = await WatchedPage.open(browser);
    await watched.page.setViewport(viewport);
    const cdp = await watched.page.createCDPSession();
    await cdp.send('WebAuthn.enable');
    await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    return new OwnerPage(host, watched);
  }

  get page(): Page {
    return this.watched.page;
  }

  /** All that a person can read; what only a screen reader says may be older. */
  text(): Promise<string> {
    return this.page
      .evaluate("[...document.querySelectorAll('#page > :not(.unseen)')].map((one) => one.innerText).join('\\n')")
      .then(String);
  }

  /** Waits until a text is on the page. */
  async shows(text: string): Promise<void> {
    await this.#eventually(`the page shows ${text}`, async () => (await this.text()).includes(text));
  }

  async showsNot(text: string): Promise<void> {
    await this.#eventually(`the page shows no ${text}`, async () => !(await this.text()).includes(text));
  }

  /** Presses what has this name for a screen reader, when it can be pressed. */
  async press(name: string): Promise<void> {
    await this.#tapOne(`${name} can be pressed`, `aria/${name}[role="button"]`, `aria/${name}[role="checkbox"]`);
  }

  /** Taps on the first element of a selector, as soon as there is one. */
  tap(selector: string): Promise<void> {
    return this.#tapOne(`there is ${selector}`, selector);
  }

  /** Taps twice on what asks again for a few seconds: `again` selects it then. */
  async tapTwice(selector: string, again: string): Promise<void> {
    await this.#eventually(`there is ${selector}, and then ${again}`, async () => {
      if (await this.#tapNow(again)) return true;
      await this.#tapNow(selector);
      return false;
    });
  }

  /** As `tapTwice`, of a button with this name. */
  pressTwice(name: string): Promise<void> {
    return this.tapTwice(`aria/${name}[role="button"]`, `aria/${name} now[role="button"]`);
  }

  async #tapOne(what: string, ...selectors: readonly string[]): Promise<void> {
    await this.#eventually(what, async () => {
      for (const selector of selectors) if (await this.#tapNow(selector)) return true;
      return false;
    });
  }

  /** Taps where neither the bar at the top nor that at the bottom covers it; whether that was done. */
  async #tapNow(selector: string): Promise<boolean> {
    const element = await this.page.$(selector);
    const isReady = await element?.evaluate(centre).catch(() => false);
    if (element === null || isReady !== true) return false;
    // Where the page moved meanwhile, the tap went elsewhere. What is redrawn is found again.
    return element.click().then(() => element.evaluate(wasTapped).catch(() => true), isDetached);
  }

  /** As `eventually`; where that fails, the error says what the page shows. */
  async #eventually<T>(what: string, look: () => Promise<T | false | undefined>): Promise<T> {
    try {
      return await eventually(what, look);
    } catch (error) {
      throw new Error(`${what}: ${error instanceof Error ? error.message : error}\n${await this.text()}`);
    }
  }

  /** Stops the first command that runs, with two taps. */
  async stop(): Promise<void> {
    const stop = 'article button[aria-label^="Stop "]';
    await this.tapTwice(`${stop}:not([aria-label$=" now"])`, `${stop}[aria-label$=" now"]`);
  }

  /** Whether the button with this label cannot be pressed, or is not there. */
  async isDisabled(label: string): Promise<boolean> {
    const button = `document.querySelector('button[aria-label=${JSON.stringify(label)}]')`;
    return (await this.page.evaluate(`${button}?.disabled ?? true`)) === true;
  }

  /** Types into the field of this name, in place of what it has. */
  async type(name: string, text: string): Promise<void> {
    const field = await this.finds(name, 'textbox');
    await field.click({ count: 3 });
    await field.type(text);
  }

  /** Waits for what has this name for a screen reader. */
  async finds(name: string, role = 'button') {
    // Puppeteer's own wait looks at each change of the page, and Chromium learns these names after it.
    const find = async () => (await this.page.$(`aria/${name}[role="${role}"]`)) ?? undefined;
    return await this.#eventually(`there is the ${role} ${name}`, find);
  }

  /** Opens a view. */
  async go(view: string): Promise<void> {
    await this.page.goto(`${this.host.origin}/#${view}`);
    await this.page.waitForSelector(`a[href="#${view}"][aria-current]`);
  }

  /** Makes a passkey by a link of root's terminal, and signs in. Returns what the terminal showed. */
  async enrol(name = 'Pixel 9'): Promise<string> {
    const terminal = await this.host.link(async (url) => {
      await this.page.goto(url);
      await this.type('Name of this device', name);
      await this.press('Create a passkey');
      await this.shows('Fingerprint');
    });
    await this.shows('This device is connected');
    await this.press('Sign in');
    await this.press('Sign in with a passkey');
    await this.shows(`Signed in as ${name}`);
    return terminal;
  }

  /** The bearer that the page keeps. */
  bearer(): Promise<string> {
    return this.page.evaluate("localStorage.getItem('agent3-bearer')").then(String);
  }

  /** A picture, where pictures are wanted. */
  async shot(name: string, fullPage = true): Promise<void> {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `${name}.png`) as `${string}.png`, fullPage });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watched[Symbol.asyncDispose]();
  }
}

/** An element in the browser, as the two functions below see it. */
interface Tapped {
  readonly disabled?: boolean;
  tapped?: boolean;
  scrollIntoView(to: object): void;
  addEventListener(event: string, listener: () => void): void;
}

/** Brings an element to the middle of the window; whether it can be pressed. Runs in the browser. */
function centre(one: object): boolean {
  const element = one as Tapped;
  element.scrollIntoView({ block: 'center' });
  element.tapped = false;
  element.addEventListener('click', () => {
    element.tapped = true;
  });
  return element.disabled !== true;
}

/** Whether an element was clicked since it was brought to the middle. Runs in the browser. */
function wasTapped(one: object): boolean {
  return (one as Tapped).tapped !== false;
}

/** False for an element that was taken away before it was tapped; throws every other error. */
function isDetached(error: unknown): false {
  if (/detached|not clickable/i.test(String(error))) return false;
  throw error;
}
