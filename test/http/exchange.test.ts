import { describe, expect, test } from 'bun:test';
import { loggedPath, pathOf } from '../../src/http/exchange.ts';

describe('the path of a URL', () => {
  const cases: readonly [url: string, path: string][] = [
    ['http://127.0.0.1:5000/healthz', '/healthz'],
    ['http://127.0.0.1:5000/shell?door=rpc#x', '/shell'],
    ['http://127.0.0.1:5000', '/'],
    ['https://[::1]:5000/a/b', '/a/b'],
    // A request without a usable Host header.
    ['/healthz', '/healthz'],
    ['/healthz?x=1', '/healthz'],
  ];
  test.each(cases)('%s is %s', (url, path) => expect(pathOf(url)).toBe(path));
});

describe('the path in the log', () => {
  const token = 'TUQAgTDMER4xLX5vzNJyfKnGGhSOqDKIRWskQ8HxsNo';
  const session = '01a22f2e-3ed7-744f-b8fd-786818ae786c';
  const cases: readonly [path: string, logged: string][] = [
    [`/transfer/${token}`, '/transfer/…'],
    // A client that is set up wrong sends its token there.
    [`/${token}`, '/…'],
    [`/mcp/${token}`, '/mcp/…'],
    [`/${token}/shell`, '/…/shell'],
    [`/token=${token}/x`, '/…/x'],
    [`/sessions/${session}/stream`, `/sessions/${session}/stream`],
    [`/sessions/${session}@abcdefgh/stream`, `/sessions/${session}@abcdefgh/stream`],
    ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource/mcp'],
  ];
  test.each(cases)('%s is %s', (path, logged) => expect(loggedPath(path)).toBe(logged));
});
