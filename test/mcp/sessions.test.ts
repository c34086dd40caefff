import { describe, expect, test } from 'bun:test';
import { CallLimiter } from '../../src/http/call-limiter.ts';
import { beginExchange } from '../../src/http/exchange.ts';
import { Pace } from '../../src/http/pace.ts';
import { SignalOnce } from '../../src/lib/signal-once.ts';
import { Turns } from '../../src/lib/turns.ts';
import { McpSessions } from '../../src/mcp/sessions.ts';

const HOUR_MS = 3_600_000;

const INITIALIZE = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};
const PING = { jsonrpc: '2.0', id: 1, method: 'ping' };

/** The sessions of an agent without operations, on a day that goes by as the test wants it. */
function aDay() {
  let nowMs = 0;
  const clock = { now: () => nowMs, elapsed: () => nowMs };
  const shutdown = new SignalOnce();
  const calls = new CallLimiter();
  const [pace, turns] = [new Pace(6000, clock), new Turns()];
  const parts = { operations: [], calls, pace, turns, shutdown, maxReplyChars: 100_000, version: 'test' };
  const sessions = new McpSessions(parts, clock);
  const send = async (body: unknown, principal: string, id?: string) => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(id !== undefined && { 'mcp-session-id': id }),
    };
    const request = new Request('http://localhost/mcp', { method: 'POST', headers });
    const exchange = Object.assign(beginExchange(request, 'test', 'test', 10), { principal });
    const answered = Promise.withResolvers<number>();
    const response = await sessions.answer(request, body, exchange, (status) => answered.resolve(status));
    await response.text();
    return { status: await answered.promise, id: response.headers.get('mcp-session-id') ?? '' };
  };
  const wait = (ms: number) => {
    nowMs += ms;
  };
  return { send, wait };
}

describe('the session of an MCP client', () => {
  test('belongs to its token', async () => {
    const { send } = aDay();
    const { id } = await send(INITIALIZE, 'anna');
    await expect(send(PING, 'bert', id)).rejects.toThrow(/over/);
    expect((await send(PING, 'anna', id)).status).toBe(200);
  });

  test('is over after a day of silence, not before', async () => {
    const { send, wait } = aDay();
    const { id } = await send(INITIALIZE, 'anna');
    wait(24 * HOUR_MS);
    expect((await send(PING, 'anna', id)).status).toBe(200);
    wait(24 * HOUR_MS);
    expect((await send(PING, 'anna', id)).status).toBe(200);
    wait(24 * HOUR_MS + 1);
    await expect(send(PING, 'anna', id)).rejects.toThrow(/Send initialize again/);
  });

  test('makes room for others of its own token alone', async () => {
    const { send, wait } = aDay();
    const begin = async (principal: string) => {
      wait(1);
      return (await send(INITIALIZE, principal)).id;
    };
    const ping = (principal: string, id: string) =>
      send(PING, principal, id).then(
        ({ status }) => status,
        () => 'over',
      );
    const other = await begin('bert');
    const many: string[] = [];
    for (let count = 0; count < 200; count++) many.push(await begin('anna'));
    expect(await ping('bert', other)).toBe(200);
    // A quarter is left, and the ones that were silent for longest have made room.
    const alive = await Promise.all(many.map((id) => ping('anna', id)));
    expect(alive.filter((one) => one === 200)).toHaveLength(74);
    expect(alive.slice(-74)).not.toContain('over');
    // Who has none finds a slot, whoever has the others.
    for (let count = 0; count < 30; count++) await begin(`token ${count}`);
    expect(await ping('bert', other)).toBe(200);
  });
});
