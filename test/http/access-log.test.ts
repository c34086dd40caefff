import { describe, expect, test } from 'bun:test';
import pino from 'pino';
import { beginExchange } from '../../src/http/exchange.ts';
import { AccessLog, type Ending } from '../../src/http/respond.ts';
import { Unauthorized } from '../../src/lib/errors.ts';

const OK: Ending = { status: 200, durationMs: 1, bytes: 1, error: undefined };
const REFUSED: Ending = { ...OK, status: 403, error: new Unauthorized() };

/** A log at a time of its own, and what is in it. */
function aLog(level = 'info') {
  const lines: Record<string, unknown>[] = [];
  let nowMs = 1000;
  const clock = { now: () => nowMs, elapsed: () => nowMs };
  const log = new AccessLog(pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line)) }), clock);
  const write = (address: string, { path = '/', principal = '', ending = REFUSED } = {}): void => {
    const exchange = beginExchange(new Request(`http://localhost${path}`), address, address, 10);
    exchange.principal = principal;
    log.write(exchange, ending);
  };
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { lines, write, wait };
}

describe('the log of requests', () => {
  test('has a line for each that came with a token, however many', () => {
    const { lines, write } = aLog();
    for (let count = 0; count < 1000; count++) write('10.0.0.1', { principal: 'anna', ending: OK });
    expect(lines).toHaveLength(1000);
  });

  test('has few lines a minute of one that has no token, and then their number', () => {
    const { lines, write, wait } = aLog();
    for (let count = 0; count < 5000; count++) write('10.0.0.1');
    expect(lines).toHaveLength(100);
    // Another one is still seen.
    write('10.0.0.2');
    expect(lines).toHaveLength(101);
    wait(60_000);
    write('10.0.0.1');
    expect(lines.slice(101)).toMatchObject([
      { level: 40, requests: 4900, msg: expect.stringContaining('further requests') },
      { status: 403, address: '10.0.0.1' },
    ]);
  });

  test('has few lines a minute of all that have no token, and takes an IPv6 network for one', () => {
    const { lines, write } = aLog();
    for (let host = 0; host < 300; host++) write(`2001:db8::${host.toString(16)}`);
    expect(lines).toHaveLength(100);
    for (let host = 0; host < 1000; host++) write(`10.1.${host >> 8}.${host & 255}`);
    expect(lines).toHaveLength(500);
  });

  test('has every fault of the agent itself', () => {
    const { lines, write } = aLog();
    for (let count = 0; count < 500; count++) write('10.0.0.1', { ending: { ...REFUSED, error: new Error('a bug') } });
    expect(lines).toHaveLength(500);
  });

  test('has no line for a healthz that is well, unless somebody asks for it', () => {
    for (const [level, count] of [
      ['info', 0],
      ['debug', 1],
    ] as const) {
      const { lines, write } = aLog(level);
      write('10.0.0.1', { path: '/healthz', ending: OK });
      expect(lines).toHaveLength(count);
    }
    const { lines, write } = aLog();
    write('10.0.0.1', { path: '/healthz', ending: { ...OK, status: 503 } });
    expect(lines).toHaveLength(1);
  });
});
