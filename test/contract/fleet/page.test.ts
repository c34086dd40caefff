import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Browser } from 'puppeteer-core';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { DESK, OwnerPage } from '../../helpers/owner-page.ts';

const CAREFUL = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\nreason = "something is removed"\n';
/** What a command of a hostile server would have on the page: markup, an end of line, letters from right to left. */
const HOSTILE = 'rm -f "</code><h1>Nothing waits</h1>" # \u202eevil\u0007';

describe.skipIf(pageObstacle() !== undefined)('the page of a hub', () => {
  const place = new TemporaryDirectory();
  const servers: Agent[] = [];
  let nats: TestNats;
  let browser: Browser;
  let host: ConsoleHost;
  let phone: OwnerPage;

  beforeAll(async () => {
    nats = await TestNats.start('web1', 'web2');
    mkdirSync(place.join('profiles.d'), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start(nats.hubSettings)]);
    phone = await OwnerPage.open(browser, host);
    await phone.enrol();
    for (const name of ['web1', 'web2']) {
      mkdirSync(place.join(name), { mode: 0o750 });
      servers.push(
        await startAgent({
          ...nats.serverSettings(name, 'careful'),
          AGENT3_PROFILES_DIR: place.join('profiles.d'),
          AGENT3_PROFILE: 'careful',
          AGENT3_APPROVALS_DIR: place.join(name),
        }),
      );
    }
  });
  afterAll(async () => {
    await browser?.close();
    for (const one of [...servers, host, nats]) await one?.[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  /** The agent of a server. */
  const web = (number: number): Agent => {
    const agent = servers[number - 1];
    if (agent === undefined) throw new Error(`web${number} was not started`);
    return agent;
  };

  test('shows the hub and each server, and what waits there with the name of the server first', async () => {
    await phone.shows('web2');
    const headings = "[...document.querySelectorAll('main h3')].map((one) => one.textContent).join()";
    expect(await phone.page.evaluate(headings)).toBe('hub,web1,web2');
    const { session } = await web(1).shell({ cmd: HOSTILE });
    await phone.shows('web1 Request 1');
    await phone.shows('\\u{202e}evil\\u{7}');
    expect(await phone.page.evaluate("document.querySelectorAll('main h1').length")).toBe(1);
    expect(await phone.text()).toContain(`web1@${nats.keyOf('web1').publicKey.slice(2, 10).toLowerCase()}`);
    expect(await phone.page.title()).toStartWith('(1) Agent3');
    await phone.shot('fleet-waiting');
    await web(1).call('kill_session', { session });
    await phone.showsNot('Request 1');
  });

  test('shows what runs on a server, and what it writes', async () => {
    await web(2).shell({ cmd: 'echo first; sleep 1; echo "\u001b[2Jsecond"; sleep 60', background: true });
    await phone.press('Output of web2: echo first; sleep 1; echo "\\u{1b}[2Jsecond"; sleep 60');
    await phone.shows('first\nsecond');
    await phone.shot('fleet-output');
    // A page of another kind of screen is loaded again.
    await phone.page.setViewport(DESK);
    await phone.shows('1 running');
    await phone.shot('fleet-desk');
  });
});
