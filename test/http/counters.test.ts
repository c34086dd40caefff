import { expect, test } from 'bun:test';
import { Buckets, Counters } from '../../src/http/counters.ts';

test('what took as long as a bound or less counts there, and nowhere else', () => {
  const buckets = new Buckets([0.1, 1, 10]);
  for (const seconds of [0, 0.1, 0.2, 1, 10, 11]) buckets.observe(seconds);
  expect(buckets).toMatchObject({ counts: [2, 2, 1], count: 6 });
  expect(buckets.sumSeconds).toBeCloseTo(22.3);
});

test('requests are counted by operation and status, refused tokens besides', () => {
  const counters = new Counters();
  counters.request('shell', 200, 0.01);
  counters.request('shell', 200, 0.01);
  counters.request(undefined, 403, 0.01);
  counters.failedLogin();
  counters.command('done', 1);
  expect(Object.fromEntries(counters.requests)).toEqual({ 'shell 200': 2, 'none 403': 1 });
  expect(Object.fromEntries(counters.commands)).toEqual({ done: 1 });
  expect(counters.failedLogins).toBe(1);
});
