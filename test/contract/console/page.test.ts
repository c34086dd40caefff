import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Browser } from 'puppeteer-core';
import type { Signature } from '../../../src/console/passkeys.ts';
import { openBrowser } from '../../helpers/browser.ts';
import { ConsoleHost, pageObstacle } from '../../helpers/console-host.ts';
import { OwnerPage } from '../../helpers/owner-page.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const obstacle = pageObstacle();
if (obstacle !== undefined) console.error(`console: the page is not tried in a browser: ${obstacle}`);

describe.skipIf(obstacle !== undefined)('the page of the console, in a window as small as a phone', () => {
  let browser: Browser;
  let host: ConsoleHost;
  let phone: OwnerPage;

  beforeAll(async () => {
    [browser, host] = await Promise.all([openBrowser(), ConsoleHost.start()]);
    phone = await OwnerPage.open(browser, host);
  });
  afterAll(async () => {
    await browser?.close();
    await host?.[Symbol.asyncDispose]();
  });

  /** The number that the page shows for a session that waits. */
  const numberOf = async (session: string): Promise<number> => {
    const { body } = await host.api('watch', { version: 0, follow: [], wait_ms: 0 }, await phone.bearer());
    const { waiting } = body['state'] as { waiting: { session: string; number: number }[] };
    return waiting.find((one) => one.session === session)?.number ?? 0;
  };
  /** The size of a terminal, as the page is told. */
  const sizeOf = async (session: string): Promise<string> => {
    const { body } = await host.api('watch', { version: 0, follow: [], wait_ms: 0 }, await phone.bearer());
    const { running } = body['state'] as { running: { session: string; rows: number; cols: number }[] };
    const one = running.find((each) => each.session === session);
    return `${one?.rows}x${one?.cols}`;
  };
  /** Calls with a new token, which nobody is asked about: answers that are no 200 are false. */
  const callerOf = async (name: string) => {
    const headers = { 'x-auth-token': await host.newToken(name, 'full') };
    return async (op: string, args: object) => {
      const reply = await host.agent.request('/', { method: 'POST', headers, body: JSON.stringify({ op, args }) });
      return reply.status === 200 && reply.body;
    };
  };
  const ask = async (cmd: string, more = {}) => {
    const session = await host.ask(cmd, more);
    return { session, number: await numberOf(session) };
  };

  test('takes a link, makes a passkey that root compares and pins, and signs in with it', async () => {
    const terminal = await host.link(async (url) => {
      await phone.page.goto(url);
      // The secret has left the address bar.
      expect(phone.page.url()).toBe(`${host.origin}/`);
      await phone.type('Name of this device', 'Pixel 9');
      await phone.shot('link');
      await phone.press('Create a passkey');
      await phone.shows('Fingerprint');
      await phone.shot('link-open');
    });
    await phone.shows('This device is connected');
    expect(terminal).toContain('Pixel 9');
    expect(terminal).toMatch(/[0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4}/);
    await phone.press('Sign in');
    await phone.shot('sign-in');
    await phone.press('Sign in with a passkey');
    await phone.shows('Signed in as Pixel 9');
    await phone.shows('Nothing waits');
  });

  test('takes a link in a tab that shows it already, with the name of the terminal, and none that is over', async () => {
    await using other = await OwnerPage.open(browser, host);
    await other.go('waiting');
    // The document stays: only the fragment changes.
    const goTo = (url: string) => other.page.evaluate(`document.isTheSame = true; location.href = '${url}'; true`);
    const use = async (url: string): Promise<void> => {
      await goTo(url);
      await other.shows('Create a passkey');
      expect(await other.page.evaluate('[document.isTheSame, location.href]')).toEqual([true, `${host.origin}/`]);
      const field = "(({ value, readOnly }) => [value, readOnly])(document.querySelector('input'))";
      expect(await other.page.evaluate(field)).toEqual(['Anna', true]);
      await other.press('Create a passkey');
      await other.shows('Fingerprint');
    };
    await host.link(use, 'y', '--name', 'Anna');
    await other.shows('This device is connected');
    expect(await other.page.evaluate('document.activeElement.id')).toBe('content');
    await goTo(`${host.origin}/#link=abcdefgh.secret`);
    await other.shows('This link is over');
    expect(await other.text()).not.toContain('Create a passkey');
  });

  test('shows a command that waits in full, and approves it with the passkey', async () => {
    const { session, number } = await ask('rm -f none; echo ran $NAME', { cwd: '/tmp', env: { NAME: 'Anna' } });
    await phone.shows(`Request ${number}`);
    await phone.shows('NAME=Anna');
    const text = await phone.text();
    for (const part of ['rm -f none; echo ran $NAME', 'something is removed', '/tmp', 'NAME=Anna'])
      expect(text).toContain(part);
    expect(await phone.page.title()).toStartWith('(1) Agent3');
    await phone.shot('waiting', false);
    await phone.press(`Approve request ${number}`);
    expect(await host.ended(session)).toMatchObject({ status: 'done', stdout: 'ran Anna\n' });
    await phone.shows('Nothing waits');
    await phone.shows(`Request ${number} is approved. See its output`);
  });

  test('approves a long command only after its end was on the screen', async () => {
    const { session, number } = await ask(`rm -f none\n${'echo a line of many\n'.repeat(200)}echo the end`);
    await phone.shows(`Request ${number}`);
    await phone.shows('To approve, read to its end: Command');
    await phone.shows('… 190 more lines');
    expect(await phone.text()).not.toContain('echo the end');
    expect(await phone.isDisabled(`Approve request ${number}`)).toBe(true);
    await phone.press('Show all: 202 lines, 4,023 characters');
    await phone.shows('echo the end');
    await phone.page.waitForFunction("document.activeElement.getAttribute('aria-label') === 'Command'");
    expect(await phone.isDisabled(`Approve request ${number}`)).toBe(true);
    await phone.page.evaluate("document.querySelector('.end').scrollIntoView()");
    await phone.showsNot('To approve, read to its end');
    await phone.press(`Approve request ${number}`);
    expect((await host.ended(session)).stdout).toEndWith('the end\n');
  });

  test('allows what a rule asks for a while, counts it down, and ends it with one tap', async () => {
    const { session, number } = await ask('rm -f none; echo first');
    await phone.shows(`Request ${number}`);
    // A card that was decided on may be there for a moment more.
    await phone.tap(`article:has([aria-label="Approve request ${number}"]) details.allow summary`);
    await phone.shows('default also runs, without a question, whatever rule 1 of the profile careful asks about');
    expect(await phone.text()).toContain('Only in the directory');
    await phone.shot('allow', false);
    await phone.press(`Allow for 15 minutes: request ${number} and its rule`);
    expect(await host.ended(session)).toMatchObject({ status: 'done', stdout: 'first\n' });
    expect(await host.agent.shell({ cmd: 'rm -f none; echo second' })).toMatchObject({ stdout: 'second\n' });
    await phone.shows('Allowed for now');
    await phone.shows('1 time');
    expect(await phone.text()).toMatch(/1[45] min( \d+ s)? left/);
    await phone.shot('allowed', false);
    await phone.press('End now: what rule 1 allows default');
    await phone.showsNot('Allowed for now');
    const third = await ask('rm -f none; echo third');
    await phone.press(`Deny request ${third.number}`);
    await phone.press('Deny now');
    expect((await host.ended(third.session)).status).toBe('denied');
  });

  test('denies with a reason, which the client reads', async () => {
    const { session, number } = await ask('rm -rf /srv/none');
    // By keyboard: Escape closes the form, and what has the focus is never lost.
    const focused = "document.activeElement.getAttribute('aria-label')";
    const isTyping = "document.activeElement.tagName === 'INPUT'";
    await phone.press(`Deny request ${number}`);
    await phone.page.waitForFunction(isTyping);
    await phone.page.keyboard.press('Escape');
    await phone.page.waitForFunction(`${focused} === 'Deny request ${number}'`);
    await phone.page.keyboard.press('Enter');
    await phone.page.waitForFunction(isTyping);
    await phone.page.keyboard.type('not before the backup');
    await phone.page.keyboard.press('Enter');
    const { status, stderr } = await host.ended(session);
    expect(status).toBe('denied');
    expect(stderr).toContain('not before the backup');
    await phone.page.waitForFunction("document.activeElement.tagName === 'H1'");
  });

  test('decides on several at once', async () => {
    const three = await Promise.all([1, 2, 3].map((one) => ask(`rm -f none; echo ${one}`)));
    for (const { number } of three) await phone.press(`Select request ${number}`);
    await phone.shows('3 selected');
    await phone.shot('selected', false);
    await phone.press('Approve 3');
    await phone.shows('3 requests are approved. See their output');
    for (const { session } of three) expect((await host.ended(session)).status).toBe('done');
    // With one signature.
    const signed = linesOf(host.join('audit.jsonl')).flatMap((line) =>
      three.some(({ session }) => session === line['session']) && 'signed' in line ? [line['signed'] as Signature] : [],
    );
    expect(signed).toHaveLength(3);
    expect(new Set(signed.map(({ assertion }) => assertion.response.signature)).size).toBe(1);
    const two = await Promise.all([1, 2].map((one) => ask(`rm -f none; echo ${one}`)));
    for (const { number } of two) await phone.press(`Select request ${number}`);
    await phone.press('Deny 2');
    await phone.press('Deny now');
    for (const { session } of two) expect((await host.ended(session)).status).toBe('denied');
    await phone.shows('Nothing waits');
    await phone.shows('2 requests are denied.');
  });

  test('shows what runs and what it writes, and stops it', async () => {
    const { session } = await host.agent.shell({
      cmd: 'for i in $(seq 100); do echo "line $i"; done\necho oops >&2; sleep 1000; true',
      background: true,
    });
    await phone.go('now');
    await phone.shows('done ⏎ echo oops');
    await phone.press('Output');
    await phone.shows('line 100');
    await phone.shows('oops');
    // Its end is what is seen first.
    const left = '(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight)';
    expect(Number(await phone.page.evaluate(`${left}(document.querySelector('.output'))`))).toBeLessThan(40);
    await phone.shot('now');
    await phone.stop();
    expect((await host.ended(String(session))).status).toBe('killed');
    await phone.shows('Nothing runs');
  });

  test('draws a terminal, without a breach of the policy of the page', async () => {
    await host.onTerminal("printf '\\033[38;2;255;120;20mbright\\033[0m \\033[1mbold\\033[0m\\n'; sleep 1000; true", {
      rows: 10,
      cols: 60,
    });
    await phone.press('Output');
    await phone.page.waitForFunction("document.querySelector('.xterm-rows')?.textContent.includes('bright')");
    const color = await phone.page.evaluate(
      "[...document.querySelectorAll('.xterm-rows span')].find((one) => one.textContent === 'bright').style.color",
    );
    expect(color).toBe('rgb(255, 120, 20)');
    expect(await phone.page.evaluate("document.querySelector('.xterm-rows').childElementCount")).toBe(10);
    await phone.shows('Swipe the screen sideways');
    await phone.shot('terminal');
    await phone.stop();
    await phone.shows('Nothing runs');
  });

  test('types in a terminal that it takes over, and types no answer of the terminal itself', async () => {
    // A program asks the terminal what it is and where its cursor is: the answers would be read as the second line.
    const cmd = `read -rp 'Name: ' name; echo "hi $name"; printf '\\033[c\\033[6n\\033[?6n\\033]11;?\\007'; sleep 0.3
read -rsp 'Word: ' word; echo; printf %s "$word" | cat -v | sed 's/^/got /'; echo; echo ready; exec cat`;
    const call = await callerOf('typist');
    const { session } = await eventually('it runs', () => call('shell', { cmd, pty: true, background: true }));
    const read = () => eventually('it is read', () => call('read_session', { session }));
    const shows = (text: string) => eventually(`it shows ${text}`, async () => (await read()).stdout.includes(text));
    await phone.press('Output');
    await phone.press('Take over');
    await phone.shows('The model reads what this terminal shows');
    await phone.shot('take-over', false);
    await phone.press('Take over now');
    await phone.shows('You type here. The model waits.');
    expect(await read()).toMatchObject({ taken_over: true });
    await phone.type('A line to type', 'Anna');
    await phone.press('Send');
    await shows('hi Anna');
    await shows('Word: ');
    await phone.press('Fit');
    await eventually('it has another size', async () => (await sizeOf(session)) !== '24x120');
    await phone.press('Hide');
    await phone.type('A line to type', 'secret');
    await phone.shot('taken-over', false);
    await phone.press('Send');
    await shows('got secret\nready');
    // Into the terminal itself, and with a key that phones have not.
    await phone.page.focus('.xterm-helper-textarea');
    await phone.page.keyboard.type('typed');
    await phone.press('Enter');
    await shows('typed\ntyped');
    await phone.press('Hand back');
    await phone.showsNot('You type here');
    await eventually('it has its size again', async () => (await sizeOf(session)) === '24x120');
    expect(await read()).not.toHaveProperty('taken_over');
    await phone.press('Take over');
    await phone.press('Take over now');
    await phone.shows('You type here. The model waits.');
    // With what shows it, it ends.
    await phone.press('Hide output');
    await eventually('it is handed back', async () => !('taken_over' in (await read())));
    await phone.stop();
    await phone.shows('Nothing runs');
  });

  test('freezes with a reason, and thaws with the passkey', async () => {
    await host.agent.shell({ cmd: 'sleep 1000; true', background: true });
    await phone.page.waitForSelector('.tag.running');
    await phone.press('Freeze');
    await phone.shot('freeze', false);
    // The field has the focus: nobody freezes with the first space of a reason.
    await phone.page.waitForFunction("document.activeElement.type === 'text'");
    await phone.page.keyboard.type('I look at this first');
    await phone.press('Freeze now');
    await phone.shows('I look at this first.');
    await phone.page.waitForSelector('.tag.frozen');
    await phone.shows('I look at this first');
    const refused = await host.agent.call('shell', { cmd: 'true' });
    expect(refused.status).toBe(503);
    expect(refused.text).toContain('I look at this first');
    await phone.shot('frozen', false);
    await phone.press('Thaw');
    await phone.showsNot('I look at this first');
    await phone.page.waitForSelector('.tag.running');
    await phone.stop();
    expect((await host.agent.shell({ cmd: 'echo again' })).stdout).toBe('again\n');
  });

  test('shows tokens, and revokes one with a second tap', async () => {
    const token = await host.newToken('deploy');
    const call = () => host.shellWith(token, { cmd: 'echo hi' });
    await eventually('the token is known', async () => (await call()) === 200);
    await phone.go('clients');
    await phone.shows('deploy');
    await phone.shot('clients');
    await phone.pressTwice('Revoke deploy');
    await phone.showsNot('deploy');
    await eventually('the token is refused', async () => (await call()) === 403);
  });

  test('says that the console is away, and continues by itself when it is back', async () => {
    await phone.go('waiting');
    await host.console.stop();
    await phone.shows('Trying again');
    await host.console.restart();
    await phone.showsNot('Trying again');
    const { number } = await ask('rm -f none');
    await phone.shows(`Request ${number}`);
    await phone.press(`Deny request ${number}`);
    await phone.press('Deny now');
    await phone.shows('Nothing waits');
  });

  test('asks nothing of other hosts, and signs out, also of a terminal', async () => {
    const call = await callerOf('leaver');
    const started = { cmd: 'sleep 1000; true', pty: true, background: true };
    const { session } = await eventually('it runs', () => call('shell', started));
    const isTaken = async () => JSON.stringify(await call('read_session', { session })).includes('"taken_over":true');
    await phone.go('now');
    await phone.press('Output');
    await phone.press('Take over');
    // Who signs out before the page has heard that it is taken over hands it back as well.
    await phone.page.evaluate(`{
      const asked = fetch;
      fetch = async (url, ...rest) => {
        const answer = await asked(url, ...rest);
        if (url === '/api/order') await new Promise((go) => setTimeout(go, 1500));
        return answer;
      };
    }`);
    await phone.press('Take over now');
    await eventually('it is taken over', isTaken);
    const bearer = await phone.bearer();
    await phone.press('Sign out');
    await phone.shows('Sign in with a passkey');
    await eventually('it is handed back', async () => !(await isTaken()));
    expect(await phone.bearer()).toBe('null');
    expect((await host.api('me', {}, bearer)).status).toBe(401);
    expect(phone.watched.origins).toEqual([host.origin]);
    // While the console was away, its calls failed.
    expect(phone.watched.faults.filter((fault) => /policy|thrown/.test(fault))).toEqual([]);
  });
});
