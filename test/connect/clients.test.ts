import { describe, expect, test } from 'bun:test';
import { GrantKey } from '../../src/access/grant.ts';
import {
  isRedirect,
  kindsOf,
  knownClient,
  mayRedirect,
  RegistrationFault,
  register,
  registeredClient,
} from '../../src/connect/clients.ts';

const key = new GrantKey('k'.repeat(32));

describe('a redirect', () => {
  test.each(['https://a.example/cb', 'http://localhost/cb', 'http://127.0.0.1:4711/', 'http://[::1]:1/cb?x=1'])(
    '%s can be used',
    (redirect) => expect(isRedirect(redirect)).toBe(true),
  );
  test.each([
    'http://a.example/cb',
    'http://localhost.a.example/cb',
    'http://127.0.0.1.a.example/',
    'http://localhost:80@a.example/',
    'https://a.example/cb#fragment',
    'https://user@a.example/cb',
    'https://a.example/\r\nx',
    'https:\\\\a.example',
    'cursor://app/cb',
    'javascript:alert(1)',
    'data:text/html,x',
    `https://a.example/${'a'.repeat(600)}`,
    '',
    7,
  ])('%p cannot', (redirect) => expect(isRedirect(redirect)).toBe(false));
});

describe('an answer goes', () => {
  const claudeCode = knownClient('https://claude.ai/oauth/claude-code-client-metadata');
  const web = register(key, { redirect_uris: ['https://a.example/cb?x=1'] });

  test('to any port of a program on the own computer, and to no other path or name', () => {
    if (claudeCode === undefined) throw new Error('Claude Code is unknown');
    expect(mayRedirect(claudeCode, 'http://localhost:53682/callback')).toBe(true);
    expect(mayRedirect(claudeCode, 'http://127.0.0.1/callback')).toBe(true);
    expect(mayRedirect(claudeCode, 'http://localhost:53682/other')).toBe(false);
    expect(mayRedirect(claudeCode, 'http://localhost:53682/callback?x=1')).toBe(false);
    expect(mayRedirect(claudeCode, 'http://[::1]:53682/callback')).toBe(false);
    expect(mayRedirect(claudeCode, 'https://localhost/callback')).toBe(false);
  });

  test('elsewhere exactly as it was registered', () => {
    expect(mayRedirect(web, 'https://a.example/cb?x=1')).toBe(true);
    for (const other of ['https://a.example/cb', 'https://a.example:444/cb?x=1', 'https://A.example/cb?x=1'])
      expect(mayRedirect(web, other)).toBe(false);
  });
});

describe('a registration', () => {
  test('is the id itself, and nobody without the key makes one', () => {
    const { id } = register(key, { redirect_uris: ['https://a.example/cb'], client_name: ' A\n client\u202e ' });
    expect(registeredClient(key, id)).toEqual({
      id,
      name: 'A client',
      isKnown: false,
      redirects: ['https://a.example/cb'],
    });
    const [, body = '', mac = ''] = id.split('.');
    const forged = Buffer.from('{"r":["https://evil.example/cb"]}').toString('base64url');
    for (const wrong of [`r.${forged}.${mac}`, `r.${body}.${'A'.repeat(43)}`, `r.${body}`, `x.${body}.${mac}`])
      expect(registeredClient(key, wrong)).toBeUndefined();
    expect(registeredClient(new GrantKey('o'.repeat(32)), id)).toBeUndefined();
  });

  test('keeps the redirects that can be used', () => {
    const sent = [
      'cursor://anysphere.cursor-mcp/oauth/callback#x',
      'cursor://another/oauth/callback',
      'http://127.0.0.1:8000/cb',
      'https://www.cursor.com/cb',
      5,
    ];
    expect(register(key, { redirect_uris: sent }).redirects).toEqual([
      'http://127.0.0.1:8000/cb',
      'https://www.cursor.com/cb',
    ]);
  });

  test('may be that of Cursor on the desktop, which has a scheme of its own', () => {
    const app = 'cursor://anysphere.cursor-mcp/oauth/callback';
    const cursor = register(key, { redirect_uris: [app, 'http://localhost:8787/callback'] });
    expect([mayRedirect(cursor, app), mayRedirect(cursor, `${app}?x=1`)]).toEqual([true, false]);
    expect(kindsOf(cursor, app)).toEqual(['cursor']);
    expect(mayRedirect(register(key, { redirect_uris: ['http://localhost:8787/callback'] }), app)).toBe(false);
  });

  test.each([
    [{ redirect_uris: ['cursor://x'] }, 'invalid_redirect_uri'],
    [{}, 'invalid_redirect_uri'],
    [null, 'invalid_client_metadata'],
    [[], 'invalid_client_metadata'],
    [
      { redirect_uris: Array.from({ length: 10 }, (_, at) => `https://a.example/${at}${'a'.repeat(400)}`) },
      'invalid_client_metadata',
    ],
  ])('%j is refused', (metadata, code) => {
    let thrown: unknown;
    try {
      register(key, metadata);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RegistrationFault);
    expect(thrown).toMatchObject({ code });
  });
});

describe('the kind of a client', () => {
  test('is known by its document, whatever redirect it names', () => {
    const codex = knownClient('https://chatgpt.com/oauth/codex/client.json');
    if (codex === undefined) throw new Error('Codex is unknown');
    expect(kindsOf(codex, 'http://127.0.0.1:1455/auth/callback')).toEqual(['codex']);
    expect(mayRedirect(codex, 'https://chatgpt.com/cb')).toBe(false);
    const connector = knownClient('https://chatgpt.com/oauth/abc/client.json');
    expect(connector?.redirects).toEqual(['https://chatgpt.com/connector/oauth/abc']);
  });

  test.each([
    ['https://chatgpt.com/connector/oauth/x', 'chatgpt'],
    ['https://claude.com/api/mcp/auth_callback', 'claude'],
    ['https://www.cursor.com/agents/mcp/oauth/callback', 'cursor'],
    ['https://chatgpt.com/share/a-page-that-leads-on', 'other'],
    ['https://claude.ai/api/mcp/auth_callback?next=https://evil.example', 'other'],
    ['https://chatgpt.com.evil.example/cb', 'other'],
    ['https://evil.example/chatgpt.com', 'other'],
  ])('of a registered one follows from where its answer goes: %s', (redirect, kind) => {
    const client = register(key, { redirect_uris: [redirect], client_name: 'ChatGPT' });
    expect(kindsOf(client, redirect).map(String)).toEqual([kind]);
  });

  test('on the own computer is any that runs there, and no chat', () => {
    const local = register(key, { redirect_uris: ['http://localhost/cb'] });
    const kinds: readonly string[] = kindsOf(local, 'http://localhost:9/cb');
    expect([kinds.includes('cursor'), kinds.includes('chatgpt'), kinds.includes('claude')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
