import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'puppeteer-core';
import { requestsDirectory } from '../../../src/access/approval-request.ts';
import { type PasskeysFile, type Signature, writePasskeys } from '../../../src/console/passkeys.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { TestNats } from '../../helpers/nats.ts';
import { DESK, OwnerPage, PHONE } from '../../helpers/owner-page.ts';
import { RawServer } from '../../helpers/raw-server.ts';
import { linesOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

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
    nats = await TestNats.start('web1', 'web2', 'web3');
    mkdirSync(place.join('profiles.d'), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start(nats.hubSettings)]);
    phone = await OwnerPage.open(browser, host);
    await phone.enrol();
    for (const name of ['web1', 'web2', 'web3']) {
      mkdirSync(place.join(name), { mode: 0o750 });
      servers.push(
        await startAgent({
          ...nats.serverSettings(name, 'careful'),
          AGENT3_PROFILES_DIR: place.join('profiles.d'),
          AGENT3_PROFILE: 'careful',
          AGENT3_APPROVALS_DIR: place.join(name),
          AGENT3_AUDIT_FILE: place.join(`${name}.jsonl`),
        }),
      );
      pin(name);
    }
  });
  afterAll(async () => {
    await browser?.close();
    for (const one of [...servers, host, nats]) await one?.[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  /** Has a server know the passkeys of the hub's console, as root does when it joins. */
  const pin = (name: string): void => {
    const passkeys = JSON.parse(readFileSync(host.console.files.passkeysFile, 'utf8'));
    writeFileSync(join(nats.directory, `${name}-passkeys.json`), JSON.stringify({ count: 0, ...passkeys }));
  };
  const tagOf = (name: string): string => nats.keyOf(name).publicKey.slice(2, 10).toLowerCase();
  /** The agent of a server. */
  const web = (number: number): Agent => {
    const agent = servers[number - 1];
    if (agent === undefined) throw new Error(`web${number} was not started`);
    return agent;
  };

  test('shows the hub and each server, and what waits there with the name of the server first', async () => {
    await phone.shows('web2');
    const headings = "[...document.querySelectorAll('main h3')].map((one) => one.textContent).join()";
    expect(await phone.page.evaluate(headings)).toBe('hub,web1,web2,web3');
    const { session } = await web(1).shell({ cmd: HOSTILE });
    await phone.shows('web1 Request 1');
    await phone.shows('\\u{202e}evil\\u{7}');
    expect(await phone.page.evaluate("document.querySelectorAll('main h1').length")).toBe(1);
    expect(await phone.text()).toContain(`web1@${tagOf('web1')}`);
    expect(await phone.page.title()).toStartWith('(1) Agent3');
    await phone.shot('fleet-waiting');
    await phone.press('web1: Deny request 1');
    await phone.press('Deny now');
    await phone.shows('web1: Request 1 is denied.');
    expect((await web(1).read({ session, wait: 5 })).status).toBe('denied');
  });

  /** Calls operations of the hub with a token for every server. */
  const callsOf = async (token: string) => {
    const headers = { 'x-auth-token': await host.newToken(token, 'full') };
    return async (op: string, args: object) =>
      (await host.agent.request('/', { method: 'POST', headers, body: JSON.stringify({ op, args }) })).body;
  };

  test('approves what waits on a server with a passkey, for that server alone', async () => {
    const call = await callsOf('everywhere');
    const asked = { server: 'web1', cmd: 'rm -f none; echo ran', background: true };
    const { session } = await eventually('the token counts', async () => {
      const answer = await call('shell', asked);
      return answer.session !== undefined && answer;
    });
    await phone.shows('web1 Request 2');
    await phone.press('web1: Approve request 2');
    await phone.shows('web1: Request 2 is approved.');
    expect(await call('read_session', { session, wait: 5 })).toMatchObject({
      server: 'web1',
      status: 'done',
      stdout: 'ran\n',
    });
    // The name that the page has shown is signed.
    expect(linesOf(place.join('web1.jsonl')).find((line) => line['decision'] === 'approved')).toMatchObject({
      signed: { order: { server: nats.keyOf('web1').publicKey, server_name: 'web1' } },
    });
  });

  test('allows the rule of a token of the hub on a server for a while, and ends that', async () => {
    const call = await callsOf('again');
    const asked = { server: 'web2', cmd: 'rm -f none; echo ran', wait: 1 };
    await eventually(
      'it waits',
      async () => (await call('shell', { ...asked, background: true })).status === 'waiting',
    );
    await phone.shows('web2 Request 1');
    // A card that was decided on may be there for a moment more.
    await phone.tap('article:has([aria-label="web2: Approve request 1"]) details.allow summary');
    await phone.press('web2: Allow for 15 minutes: request 1 and its rule');
    await phone.shows('web2: Request 1 is approved.');
    expect(await call('shell', asked)).toMatchObject({ server: 'web2', status: 'done', stdout: 'ran\n' });
    await phone.tap('button[aria-label^="web2: End"]');
    await phone.showsNot('Allowed for now');
    const { session, status } = await call('shell', asked);
    expect(status).toBe('waiting');
    await call('kill_session', { session });
  });

  test('approves a run on many servers once, whatever the first of them has written', async () => {
    const call = await callsOf('many');
    await eventually('the token counts', async () => 'hub' in (await call('list_servers', {})));
    const written = '</code><h1>Nothing waits</h1><button>Approve for all</button>\u202e';
    const asked = { servers: ['web[1-3]'], cmd: 'rm -f none; cat', stdin: written, batches: [1, '100%'] };
    const { run } = { run: undefined, ...(await call('run_on', asked)) };
    await phone.shows('web1 Request 3');
    await phone.press('web1: Approve request 3');
    await phone.shows('One approval for 2 servers');
    await phone.shows('web[2-3]');
    await phone.shows('Nothing in them is from Agent3');
    await phone.shows('</code><h1>Nothing waits</h1><button>Approve for all</button>\\u{202e}');
    const count = async (selector: string) =>
      phone.page.evaluate(`document.querySelectorAll(${JSON.stringify(selector)}).length`);
    expect(await count('main h1')).toBe(1);
    // The servers' own requests are in the card of the plan.
    const cards = 'article[aria-labelledby^="request-"], article[aria-labelledby^="plan-"]';
    await eventually('there is one card', async () => (await count(cards)) === 1);
    expect(await count('.foreign button')).toBe(0);
    await phone.shot('fleet-plan');
    await phone.press('Approve for all 2 servers');
    expect(await call('read_run', { run, wait: 20 })).toMatchObject({
      status: 'done',
      groups: [{ servers: ['web[1-3]'], exit_code: 0 }],
    });
    await phone.showsNot('One approval');
  });

  test('takes no approval of a request that names another server than the one it came from', async () => {
    const { session } = await web(1).shell({ cmd: 'rm -f none; echo good' });
    const path = join(requestsDirectory(web(1).sessionsDir), `${session}.json`);
    const request = { ...JSON.parse(readFileSync(path, 'utf8')), server: `web1@${tagOf('web1')}` };
    await web(1).call('kill_session', { session });
    const item = { session, number: 9, run: null, token: 'default', address: '', profile: 'careful', cmd: request.cmd };
    const times = { asked_at: Date.now(), expires_at: Date.now() + 60_000 };
    const waiting = [{ ...item, ...times, chars: 900, kind: 'command', reason: '' }];
    nats.add('liar');
    nats.reload();
    await using liar = await eventually('NATS takes it', () =>
      RawServer.open(nats, 'liar', ({ args }) =>
        (args as { op: string }).op === 'request'
          ? { text: JSON.stringify(request), next: null }
          : { version: 1, state: { now: Date.now(), frozen: null, waiting, running: [], ended: [], allowances: [] } },
      ).catch(() => undefined),
    );
    // The hub may have asked for its state before it was there.
    await eventually('the hub has heard of it', async () => {
      liar.say();
      return (await phone.text()).includes('liar Request 9');
    });
    await phone.shows(`This request says that it is for web1@${tagOf('web1')}`);
    expect(await phone.text()).toContain(`liar@${tagOf('liar')}`);
    expect(await phone.isDisabled('liar: Approve request 9')).toBe(true);
    await phone.shot('fleet-liar', false);
    nats.remove('liar');
    nats.reload();
    await phone.showsNot('liar');
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
    await phone.page.setViewport(PHONE);
    await phone.tap('button[aria-label^="Stop web2: "]');
    await phone.tap('button[aria-label^="Stop web2: "][aria-label$=" now"]');
    await phone.showsNot('1 running');
    await phone.tap('.servers details summary');
    await phone.tap('.servers details button[aria-label="Output of web1: rm -f none; echo ran"]');
    await phone.page.waitForFunction("document.querySelector('.servers details .output')?.innerText.trim() === 'ran'");
    await phone.shot('fleet-ended');
  });

  test('approves what waits on the hub and on servers with one signature, each for its own server', async () => {
    const asked = [host.agent, web(1), web(2)] as const;
    const sessions = await Promise.all(
      asked.map((one) => one.shell({ cmd: 'rm -f none; echo ran', background: true })),
    );
    await eventually('all are on the page', async () => (await phone.page.$$('article .tick input')).length === 3);
    await phone.page.evaluate("for (const one of document.querySelectorAll('article .tick input')) one.click()");
    await phone.press('Approve 3');
    const records = [host.join('audit.jsonl'), place.join('web1.jsonl'), place.join('web2.jsonl')];
    const signatures = new Set<string>();
    for (const [at, { session }] of sessions.entries()) {
      const isDone = async () => (await asked[at]?.read({ session, wait: 5 }))?.status === 'done';
      await eventually('it has run', isDone);
      const record = records[at] ?? '';
      const line = linesOf(record).find((one) => one['session'] === session && one['decision'] === 'approved');
      const signed = line?.['signed'] as Signature | undefined;
      const server = at === 0 ? undefined : nats.keyOf(`web${at}`).publicKey;
      expect([signed?.order.server, signed?.assertion.among?.length]).toEqual([server, 3]);
      signatures.add(signed?.assertion.response.signature ?? '');
      expect(await verify(record)).toMatchObject({ code: 0 });
    }
    expect(signatures.size).toBe(1);
  });

  test('freezes one server, all in one tap, and thaws each with a passkey', async () => {
    const tags = "document.querySelectorAll('main .servers .tag.frozen').length";
    const frozen = (count: number): Promise<unknown> => phone.page.waitForFunction(`${tags} === ${count}`);
    await phone.pressTwice('Freeze web1');
    await frozen(1);
    expect((await web(1).call('shell', { cmd: 'true' })).body).toMatchObject({ error: 'Frozen' });
    expect((await web(2).call('shell', { cmd: 'true' })).status).toBe(200);
    await phone.press('Freeze');
    await phone.shows('its 3 servers');
    await phone.shot('fleet-freeze', false);
    await phone.press('Freeze all now');
    await frozen(4);
    await phone.shows('hub: Frozen');
    await phone.shot('fleet-frozen');
    for (const name of ['web1', 'web2', 'web3']) await phone.press(`Thaw ${name}`);
    await frozen(1);
    expect((await web(1).call('shell', { cmd: 'true' })).status).toBe(200);
    await phone.press('Thaw');
    await frozen(0);
  });

  test('signs a change of the passkeys for all servers, after it has shown it', async () => {
    const path = host.console.files.passkeysFile;
    const { sessions: _s, ...list } = JSON.parse(readFileSync(path, 'utf8')) as PasskeysFile;
    writeFileSync(
      join(nats.directory, 'keys.json'),
      JSON.stringify({ version: 1, first: { count: 0, ...list }, links: [] }),
    );
    const other = await new Authenticator(host.origin).passkey();
    writePasskeys(path, { ...list, passkeys: [...list.passkeys, other], sessions: [] });
    await phone.shows('Your servers do not know this change of passkeys yet');
    await phone.shows(`new: ${other.name} ${other.fingerprint}`);
    await phone.shot('fleet-keys', false);
    await phone.press('Sign this change for all servers');
    await phone.showsNot('Your servers do not know');
    const { links } = JSON.parse(readFileSync(join(nats.directory, 'keys.json'), 'utf8'));
    expect(links).toMatchObject([{ order: { kind: 'keys', count: 1, passkeys: [{}, { id: other.id }] } }]);
  });

  test('orders root to freeze all, also when it is loaded while the agent of the hub is dead', async () => {
    await host.agent.kill9();
    await phone.page.reload();
    await phone.shows('The agent does not answer');
    await phone.press('Freeze');
    await phone.press('Freeze all now');
    const orders = join(host.console.directory, 'root-orders');
    const left = await eventually('an order for each', () => {
      const files = readdirSync(orders).filter((name) => name.endsWith('.json'));
      return files.length === 4 && files.map((name) => JSON.parse(readFileSync(join(orders, name), 'utf8')).order);
    });
    expect(left.map(({ kind }) => kind)).toEqual(Array(4).fill('freeze'));
    const keys = ['web1', 'web2', 'web3'].map((name) => nats.keyOf(name).publicKey);
    expect(new Set(left.map(({ server }) => server))).toEqual(new Set([undefined, ...keys]));
  });
});
