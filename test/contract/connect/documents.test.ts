import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { ensurePrograms } from '../../helpers/debian.ts';
import { HOSTS, OAuthHost } from '../../helpers/oauth-host.ts';
import { freePort } from '../../helpers/ports.ts';
import { type Connecting, SignInAgent } from '../../helpers/sign-in.ts';
import { NETWORK_PROGRAMS, SmallInternet } from '../../helpers/small-internet.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms(...NETWORK_PROGRAMS);

/** The client whose document lies at a URL. */
const at = (clientId: string) => ({ client: 'other', clientId, redirect: 'https://app.example/callback' });

describe.skipIf(!isRoot || missing.length > 0)('the document of a client', () => {
  let net: SmallInternet;
  let server: SignInAgent;
  let terminal: Connecting;

  beforeAll(async () => {
    const port = await freePort();
    net = await SmallInternet.open(port);
    server = await SignInAgent.start({ ...net.settings, AGENT3_PORT: String(port) }, net.before);
  });
  afterAll(async () => {
    await terminal?.[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await net[Symbol.asyncDispose]();
  });

  /** Opens the page for a client; returns its status and text, and what was asked of the internet for it. */
  const open = async (clientId: string) => {
    const before = net.asked.length;
    const host = await OAuthHost.discover(at(clientId), server.mcp);
    const { url } = await host.ask();
    const response = await fetch(url, { redirect: 'manual' });
    const text = await response.text();
    return {
      status: response.status,
      location: response.headers.get('location'),
      text,
      asked: net.asked.slice(before),
    };
  };

  test('is not asked for while no code waits', async () => {
    const { status, location, asked } = await open('https://good.example/client.json');
    expect([status, location, asked]).toEqual([400, null, []]);
  });

  test('is asked for while a code waits, at the address that was looked at, and leads through the sign-in', async () => {
    for (const path of ['/client.json', '/as-chatgpt.json']) {
      const { tokens } = await server.signIn(at(`https://good.example${path}`), path.slice(1, -5));
      expect((await server.call(tokens.access)).text).toBe('signed in\n');
      expect(net.asked.filter((line) => line.includes(path))).toEqual([`11.0.0.1 good.example ${path}`]);
    }
  });

  describe('is refused', () => {
    beforeAll(async () => {
      terminal = server.connect('--name', 'waiting', '--client', 'other');
      await terminal.code();
    });

    test.each([
      'html',
      'html-as-json',
      '503',
      '404',
      'of-another',
      'list',
      'no-redirects',
      'bad-redirects',
      'moved',
      'moved-inside',
    ])('that is /%s', async (what) => {
      await server.agent.restart();
      const { status, location, text, asked } = await open(`https://good.example/${what}`);
      expect([status, location, asked]).toEqual([400, null, [`11.0.0.1 good.example /${what}`]]);
      expect(text).not.toContain('<form');
    });

    test.each(['gigabyte', 'bomb'])('that is a %s, and is not read', async (what) => {
      await server.agent.restart();
      const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.agent.pid}/status`, 'utf8'))?.[1]);
      await open('https://good.example/404');
      const before = memory();
      const start = performance.now();
      expect((await open(`https://good.example/${what}`)).status).toBe(400);
      expect(performance.now() - start).toBeLessThan(6000);
      expect(memory() - before).toBeLessThan(50_000);
    });

    test.each(['slow', 'silent'])('that is %s, before its client gives up', async (what) => {
      await server.agent.restart();
      const start = performance.now();
      const { status, asked } = await open(`https://good.example/${what}`);
      expect([status, asked.length]).toEqual([400, 1]);
      expect(performance.now() - start).toBeLessThan(8000);
    });

    test.each([
      'loopback',
      'other-loopback',
      'metadata',
      'six',
      'mapped',
      'private',
      'home',
      'carrier',
      'local-six',
      'any',
      'both',
      'nowhere',
    ])('whose name %s.example leads to what is not public, and nothing is asked for', async (name) => {
      await server.agent.restart();
      const { status, location, asked } = await open(`https://${name}.example/client.json`);
      expect([status, location, asked]).toEqual([400, null, []]);
    });

    test.each([
      'http://good.example/client.json',
      'https://good.example',
      'https://good.example/',
      'https://good.example:8443/client.json',
      'https://good.example:443/client.json',
      'https://user@good.example/client.json',
      'https://good.example/client.json#part',
      'https://good.example/a/../client.json',
      'https://good.example\\@127.0.0.1/client.json',
      'https://127.0.0.1/client.json',
      'https://127.1/client.json',
      'https://0x7f000001/client.json',
      'https://2130706433/client.json',
      'https://[::1]/client.json',
      'https://169.254.169.254/latest/meta-data',
      'https://localhost/client.json',
      'https://agent.localhost/client.json',
      'https://good.example./client.json',
      `https://good.example/${'a'.repeat(512)}`,
    ])('whose URL is %s, and nothing is asked for', async (clientId) => {
      const { status, location, asked } = await open(clientId);
      expect([status, location, asked]).toEqual([400, null, []]);
    });

    test('where eleven are asked for within a minute, and known clients come through all the same', async () => {
      await server.agent.restart();
      const all = await Promise.all(
        Array.from({ length: 30 }, (_, count) => open(`https://good.example/many/${count}`)),
      );
      expect(net.asked.filter((line) => line.includes('/many/'))).toHaveLength(10);
      expect(all.filter(({ status }) => status === 200)).toHaveLength(10);
      const known = await OAuthHost.discover(HOSTS.chatgpt, server.mcp);
      expect((await fetch((await known.ask()).url)).status).toBe(200);
    });
  });
});
