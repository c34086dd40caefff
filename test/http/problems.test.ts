import { expect, test } from 'bun:test';
import { noRoute } from '../../src/http/exchange.ts';

const METHODS = new Map([['/shell', ['POST']]]);

test.each([
  ['GET', '/shell', 405, '/shell takes POST, not GET.'],
  ['POST', '/none', 404, 'There is nothing at this path.'],
  // As it is asked about for `POST /./shell`.
  ['POST', '/shell', 404, 'There is nothing at this path.'],
])('%s %s is answered %i', (method, path, status, told) => {
  const error = noRoute(method, path, METHODS);
  expect({ status: error.status, hint: error.hint }).toEqual({ status, hint: expect.stringContaining(told) });
});
