import { expect } from 'bun:test';
import type { Reply } from './answer.ts';

/** Asserts that `reply` is this error of the contract, as JSON with nothing else in it. */
export function expectRefusal(reply: Reply, status: number, error: string, message?: RegExp): void {
  expect({ status: reply.status, error: reply.body.error }).toEqual({ status, error });
  expect(reply.headers.get('content-type')).toStartWith('application/json');
  expect(Object.keys(reply.body).filter((name) => name !== 'error' && name !== 'message')).toEqual([]);
  if (message !== undefined) expect(reply.body.message).toMatch(message);
}
