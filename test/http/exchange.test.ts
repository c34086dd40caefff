import { describe, expect, test } from 'bun:test';
import { pathOf } from '../../src/http/exchange.ts';

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
