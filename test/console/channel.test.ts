import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Channel, ChannelFault, type Outlet } from '../../src/console/channel.ts';

const KEY = 'a-key-of-the-console-0123456789abcdef';

/** Keeps what was written until somebody carries it over. */
class Pipe implements Outlet {
  readonly written: Buffer[] = [];

  constructor(public room = Number.POSITIVE_INFINITY) {}

  write(bytes: Uint8Array): number {
    const count = Math.min(this.room, bytes.length);
    this.room -= count;
    if (count > 0) this.written.push(Buffer.from(bytes.subarray(0, count)));
    return count;
  }

  take(): Buffer {
    return Buffer.concat(this.written.splice(0));
  }
}

function ends(agentKey = KEY, consoleKey = KEY) {
  const [toConsole, toAgent] = [new Pipe(), new Pipe()];
  const agent = new Channel('agent', agentKey, toConsole);
  const owner = new Channel('console', consoleKey, toAgent);
  agent.open();
  owner.open();
  return { agent, owner, toConsole, toAgent };
}

/** Both ends after their hello. */
function proved() {
  const all = ends();
  for (let round = 0; round < 2; round++) {
    all.agent.receive(all.toAgent.take());
    all.owner.receive(all.toConsole.take());
  }
  expect([all.agent.isProved, all.owner.isProved]).toEqual([true, true]);
  return all;
}

/** Frames with these messages, one by one. */
function framesOf({ owner, toAgent }: ReturnType<typeof proved>, ...messages: readonly unknown[]): Buffer[] {
  return messages.map((message) => {
    owner.send(() => JSON.stringify(message));
    return toAgent.take();
  });
}

describe('a channel', () => {
  test('carries messages in both directions, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, size) => {
        const { agent, owner, toAgent, toConsole } = ends();
        for (const message of messages) {
          owner.send(() => JSON.stringify({ message }));
          agent.send(() => JSON.stringify({ message }));
        }
        const got: { agent: unknown[]; owner: unknown[] } = { agent: [], owner: [] };
        for (let round = 0; round < 3; round++) {
          for (const piece of pieces(toAgent.take(), size)) got.agent.push(...agent.receive(piece));
          for (const piece of pieces(toConsole.take(), size)) got.owner.push(...owner.receive(piece));
        }
        const sent = JSON.parse(JSON.stringify(messages.map((message) => ({ message }))));
        expect(got).toEqual({ agent: sent, owner: sent });
      }),
      { numRuns: 50 },
    );
  });

  test('sends nothing of the key, and no frame before the other end is proved', () => {
    const { owner, agent, toAgent, toConsole } = ends();
    owner.send(() => '{}');
    expect(toAgent.take()).toHaveLength(32);
    owner.receive(toConsole.take());
    expect(toAgent.take()).toHaveLength(32);
    expect(agent.isProved).toBe(false);
  });

  test('refuses an end that has another key, or none', () => {
    const { agent, owner, toAgent, toConsole } = ends(KEY, 'another-key-of-32-characters-and-more');
    agent.receive(toAgent.take());
    expect(() => owner.receive(toConsole.take())).toThrow('does not have the key');
    const alone = new Channel('agent', KEY, new Pipe());
    expect(() => alone.receive(Buffer.alloc(64, 7))).toThrow('does not have the key');
  });

  test('refuses its own proof, sent back', () => {
    const pipe = new Pipe();
    const agent = new Channel('agent', KEY, pipe);
    agent.open();
    agent.receive(pipe.take());
    expect(() => agent.receive(pipe.take())).toThrow('does not have the key');
  });

  test('refuses the proof of an earlier connection', () => {
    const first = ends();
    const hello = first.toAgent.take();
    first.agent.receive(hello);
    first.owner.receive(first.toConsole.take());
    const proof = first.toAgent.take();
    const second = new Channel('agent', KEY, new Pipe());
    second.open();
    expect(() => second.receive(Buffer.concat([hello, proof]))).toThrow('does not have the key');
  });

  test('refuses frames that were changed, bit by bit', () => {
    for (const bit of [0, 7, 31, 40, 200, 8 * 36, 8 * 45 + 3]) {
      const both = proved();
      const [frame = Buffer.alloc(0)] = framesOf(both, { id: 1, op: 'state' });
      frame[bit >> 3] = (frame[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      // A longer length waits for bytes that do not come, or is refused; no message comes of any.
      let got: unknown[] = [];
      try {
        got = both.agent.receive(frame);
        got.push(...both.agent.receive(framesOf(both, { id: 2 })[0] ?? Buffer.alloc(0)));
      } catch (error) {
        expect(error).toBeInstanceOf(ChannelFault);
      }
      expect(got).toEqual([]);
    }
  });

  test('refuses a frame that is repeated, left out, from another connection, or in another order', () => {
    const repeated = proved();
    const [once = Buffer.alloc(0)] = framesOf(repeated, 1);
    expect(repeated.agent.receive(once)).toEqual([1]);
    expect(() => repeated.agent.receive(once)).toThrow(ChannelFault);

    const swapped = proved();
    const [, second = Buffer.alloc(0)] = framesOf(swapped, 1, 2);
    expect(() => swapped.agent.receive(second)).toThrow(ChannelFault);

    const other = proved();
    expect(() => other.agent.receive(framesOf(proved(), 1)[0] ?? Buffer.alloc(0))).toThrow(ChannelFault);
  });

  test('refuses a frame of the other direction', () => {
    const both = proved();
    const [frame = Buffer.alloc(0)] = framesOf(both, 1);
    expect(() => both.owner.receive(frame)).toThrow(ChannelFault);
  });

  test('refuses a frame that is too long before it has come', () => {
    const { agent } = proved();
    expect(() => agent.receive(Buffer.from([0xff, 0xff, 0xff, 0xff]))).toThrow('too long');
  });

  test('refuses any garbage after its hello', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 300, maxLength: 400 }), (garbage) => {
        const { agent } = proved();
        garbage[0] = 0;
        garbage[1] = 0;
        garbage[2] = 0;
        expect(() => agent.receive(garbage)).toThrow(ChannelFault);
      }),
      { numRuns: 50 },
    );
  });

  test('makes no message before there is room for it', () => {
    const { agent, owner, toConsole } = proved();
    toConsole.room = 0;
    let made = 0;
    const text = 'x'.repeat(100_000);
    for (let count = 0; count < 50; count++)
      agent.send(() => {
        made++;
        return JSON.stringify(text);
      });
    expect(made).toBe(3);
    expect(agent.isBehind).toBe(true);
    const got: unknown[] = [];
    while (got.length < 50) {
      toConsole.room = 30_000;
      agent.drain();
      got.push(...owner.receive(toConsole.take()));
    }
    expect(new Set(got)).toEqual(new Set([text]));
    expect(agent.isBehind).toBe(false);
  });
});

function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}
