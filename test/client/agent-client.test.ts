import { describe, expect, test } from 'bun:test';
import type { EventSourceMessage } from 'eventsource-parser';
import fc from 'fast-check';
import { AgentClient } from '../../src/client/agent-client.ts';
import { listSessions, readStream } from '../../src/client/sessions.ts';
import { eventually } from '../helpers/waiting.ts';

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

describe('a server that was taken over, or is another', () => {
  const answering = (answer: () => Response) => Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: answer });
  const clientOf = (server: { readonly url: URL }) => new AgentClient(server.url.origin, 'token');
  const reading = { stream: 'stdout', offset: 0, follow: false, raw: true } as const;

  const endings: readonly [what: string, take: (client: AgentClient) => Promise<unknown>][] = [
    ['an answer', (client) => client.call('server_info', {})],
    ['an event', (client) => client.events('one', 0, 0).next()],
  ];
  test.each(endings)('fills no memory with %s without an end', async (_, take) => {
    const piece = new Uint8Array(8_388_608).fill(97);
    let pieces = 0;
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      pieces++;
      controller.enqueue(piece);
    };
    await using server = answering(() => new Response(new ReadableStream({ pull })));
    await expect(take(clientOf(server))).rejects.toThrow('its answer is longer than an answer can be');
    await eventually('the end of the answer', () => pieces > 15);
    await Bun.sleep(200);
    const then = pieces;
    await Bun.sleep(200);
    expect(pieces).toBe(then);
  });

  test.each([{}, { stdout: 5, next_offset: 0 }, { stdout: 'x' }, { stdout: 'x', next_offset: 'y' }])(
    'is told where a page is %j',
    async (page) => {
      await using server = answering(() => Response.json(page));
      await expect(readStream(clientOf(server), 'one', reading).next()).rejects.toThrow(
        /is not Agent3: its answer has no stdout/,
      );
    },
  );

  test('is told where a list has no sessions, and not followed for ever', async () => {
    for (const page of [{}, { sessions: 'x' }, { sessions: [{}] }]) {
      await using server = answering(() => Response.json(page));
      await expect(listSessions(clientOf(server), 10, undefined)).rejects.toThrow(/its answer has no sessions/);
    }
    const sessions = Array.from({ length: 100 }, () => ({ session: 'one' }));
    await using endless = answering(() => Response.json({ sessions, next_before: 'one' }));
    expect(await listSessions(clientOf(endless), Number.MAX_SAFE_INTEGER, undefined)).toHaveLength(10_000);
  });
});
