import { describe, expect, test } from 'bun:test';
import type { EventSourceMessage } from 'eventsource-parser';
import fc from 'fast-check';
import { AgentClient } from '../../src/client/agent-client.ts';

const TEXT = `: alive

event: output
id: 2,0
data: {"stream":"stdout","text":"€😀"}

data: first\r
data:second\r
\r
event: nothing

event: end
data: {}

event: cut
data: off`;

const EVENTS = [
  { event: 'output', id: '2,0', data: '{"stream":"stdout","text":"€😀"}' },
  { event: undefined, id: undefined, data: 'first\nsecond' },
  { event: 'end', id: undefined, data: '{}' },
];

/** What the client makes of the stream of a server that sends these pieces. */
async function eventsOf(pieces: readonly Uint8Array[]): Promise<EventSourceMessage[]> {
  const left = [...pieces];
  const send = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    // Each piece by itself: what is sent at once arrives at once.
    await Bun.sleep(0);
    const piece = left.shift();
    if (piece === undefined) controller.close();
    else controller.enqueue(piece);
  };
  await using server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => new Response(new ReadableStream({ pull: (controller) => send(controller) })),
  });
  const found: EventSourceMessage[] = [];
  for await (const event of new AgentClient(server.url.origin, 'token').events('one', 0, 0)) found.push(event);
  return found;
}

describe('the events of a stream', () => {
  const bytes = Buffer.from(TEXT);

  test('are found, without comments, events without data, and the one that is not whole', async () => {
    expect(await eventsOf([bytes])).toEqual(EVENTS);
  });

  test('are the same however the stream is cut', async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        const ends = [...new Set(places)].sort((a, b) => a - b);
        const pieces = [...ends, bytes.length].map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end));
        expect(await eventsOf(pieces)).toEqual(EVENTS);
      }),
    );
  });
});

test.each(['/never', '/begun'])('a call whose answer does not come in time is given up: %s', async (path) => {
  const begin = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{"stdout":')) });
  await using server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: ({ url }) => (url.endsWith('/begun') ? new Response(begin) : new Promise<Response>(() => {})),
  });
  const client = new AgentClient(server.url.origin, 'token');
  const call = client.call(path.slice(1), {}, { seconds: 0.2 });
  await expect(call).rejects.toThrow(`${server.url.origin} did not answer within 0.2 s`);
  await server.stop(true);
});
