import { afterAll, describe, expect, test } from 'bun:test';
import * as current from '@modelcontextprotocol/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { scoresIn, startSuite } from '../../helpers/conformance.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { allow, HOSTS } from '../../helpers/oauth-host.ts';
import { freePort } from '../../helpers/ports.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

ensurePrograms('gcc');
const clock = new MovedClock();
const server = await SignInAgent.start(clock.settings);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  clock[Symbol.dispose]();
});

let names = 0;
const newName = () => `client-${++names}`;

/** What a client remembers, and the page that it asks its user to open. It is a provider of both packages. */
class Memory {
  asked: URL | undefined;
  refreshed = 0;
  readonly #kept = new Map<string, unknown>();

  constructor(
    readonly redirectUrl: string,
    /** Empty: it registers. */
    readonly clientMetadataUrl: string,
  ) {}

  get clientMetadata() {
    return {
      client_name: 'A program',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
    };
  }

  state = () => 'the-state-of-the-program';
  clientInformation = () => this.#kept.get('client') as { client_id: string } | undefined;
  saveClientInformation = (client: { client_id: string }) => void this.#kept.set('client', client);
  tokens = () => this.#kept.get('tokens') as { access_token: string; token_type: string } | undefined;
  saveTokens = (tokens: { access_token: string; token_type: string }) => {
    if (this.#kept.has('tokens')) this.refreshed++;
    this.#kept.set('tokens', tokens);
  };
  saveDiscoveryState = (state: current.OAuthDiscoveryState) => void this.#kept.set('discovery', state);
  discoveryState = () => this.#kept.get('discovery') as current.OAuthDiscoveryState | undefined;
  redirectToAuthorization = (url: URL) => {
    this.asked = url;
  };
  saveCodeVerifier = (verifier: string) => void this.#kept.set('verifier', verifier);
  codeVerifier = () => String(this.#kept.get('verifier'));

  /** What the user does: opens the page, types the code. Returns what comes back. */
  async allow(code: string): Promise<URLSearchParams> {
    const answer = await allow(await eventually('the program asks', () => this.asked), code);
    expect(answer.searchParams.get('state')).toBe('the-state-of-the-program');
    return answer.searchParams;
  }
}

/** A document, or a registration. */
const WAYS = [
  ['by its document', 'claude-code', 'http://localhost:61234/callback', HOSTS['claude code'].clientId],
  ['by registration', 'other', 'http://127.0.0.1:61234/oauth/callback', ''],
] as const;

describe.each(WAYS)('%s, a program of', (_way, client, redirect, document) => {
  test.each(['legacy', '2026-07-28'] as const)(
    'the official package signs in, and renews its tokens by itself (%s)',
    async (era) => {
      await using terminal = server.connect('--name', newName(), '--client', client, '--yes', '--profile', 'full');
      const code = await terminal.code();
      const memory = new Memory(redirect, document);
      const open = () => new current.StreamableHTTPClientTransport(new URL(server.mcp), { authProvider: memory });
      const newClient = () =>
        new current.Client(
          { name: 'test', version: '1' },
          { versionNegotiation: { mode: era === 'legacy' ? era : { pin: era } } },
        );
      const first = open();
      await expect(newClient().connect(first)).rejects.toThrow(current.UnauthorizedError);
      await first.finishAuth(await memory.allow(code));
      const program = newClient();
      await program.connect(open());
      const call = () => program.callTool({ name: 'shell', arguments: { cmd: 'echo official' } });
      expect((await call()).content).toEqual([{ type: 'text', text: 'official\n' }]);
      expect(await terminal.ended()).toBe(0);
      // Tomorrow, after an upgrade of the agent.
      clock.move(86_400);
      await server.agent.restart();
      expect((await call()).content).toEqual([{ type: 'text', text: 'official\n' }]);
      expect(memory.refreshed).toBe(1);
      await program.close();
    },
  );

  test('the older package does so too', async () => {
    await using terminal = server.connect('--name', newName(), '--client', client, '--yes', '--profile', 'full');
    const code = await terminal.code();
    const memory = new Memory(redirect, document);
    const open = () => new OldTransport(new URL(server.mcp), { authProvider: memory });
    const first = open();
    await expect(new OldClient({ name: 'test', version: '1' }).connect(first)).rejects.toThrow(/[Uu]nauthorized/);
    await first.finishAuth((await memory.allow(code)).get('code') ?? '');
    const program = new OldClient({ name: 'test', version: '1' });
    await program.connect(open());
    const call = () => program.callTool({ name: 'shell', arguments: { cmd: 'echo older' } });
    expect((await call()).content).toEqual([{ type: 'text', text: 'older\n' }]);
    clock.move(86_400);
    await server.agent.restart();
    expect((await call()).content).toEqual([{ type: 'text', text: 'older\n' }]);
    expect(memory.refreshed).toBe(1);
    await program.close();
  });
});

test('the public conformance suite for authorization servers is passed', async () => {
  await using terminal = server.connect('--name', newName(), '--client', 'codex', '--yes');
  const code = await terminal.code();
  using results = new TemporaryDirectory();
  const port = String(await freePort());
  const suite = startSuite(
    [
      ...['authorization', '--url', server.issuer, '--client-id', HOSTS.codex.clientId],
      ...['--resource', server.mcp, '--port', port, '-o', results.path],
    ],
    results.path,
  );
  let said = '';
  const errors = suite.stderr.text();
  const read = async () => {
    for await (const chunk of suite.stdout) {
      const before = said;
      said += Buffer.from(chunk).toString();
      const [, url] = /(http:\/\/127\.0\.0\.1:\d+\/oauth\/authorize\?\S+)/.exec(said) ?? [];
      if (url === undefined || /oauth\/authorize\?/.test(before)) continue;
      // What the user's browser does.
      void allow(new URL(url), code).then((answer) => fetch(answer));
    }
  };
  await read();
  await suite.exited;
  const scores = scoresIn(results.path);
  expect({ failed: [...scores.values()].flatMap(({ failed }) => failed), errors: (await errors).slice(-500) }).toEqual({
    failed: [],
    errors: '',
  });
  expect([...scores.keys()].sort()).toEqual(['authorization-code-grant', 'authorization-server-metadata-endpoint']);
  for (const { passed } of scores.values()) expect(passed).toBeGreaterThan(0);
}, 60_000);
