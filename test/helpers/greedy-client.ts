import { connect } from 'node:net';

/**
 * A client that asks one agent for everything that one token is given, all at once, until it is killed: a process of its
 * own, so that who measures waits for the agent alone. It reads a `GreedyOrder` from standard input and writes `ready`
 * when all of it has begun, then a line of JSON with its counts every second.
 */
export interface GreedyOrder {
  readonly url: string;
  readonly token: string;
  /** With much output. */
  readonly session: string;
  /** Streams that are opened and never read. */
  readonly streams: number;
  /** Clients that open a stream, read its beginning and leave, over and over. */
  readonly openers: number;
  /** Commands that take all of a CPU each. */
  readonly busy: number;
  /** Clients that read pages. */
  readonly readers: number;
  /** Clients that search. */
  readonly searchers: number;
  /** Clients that send commands of 100 KB, and how many all of them send. */
  readonly senders: number;
  readonly commands: number;
}

const order = JSON.parse(await Bun.stdin.text()) as GreedyOrder;
const { url, token, session } = order;
const headers = { 'x-auth-token': token };
const counts: Record<string, number> = {};
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1;
};

async function call(op: string, args: unknown): Promise<void> {
  const response = await fetch(`${url}/${op}`, { method: 'POST', headers, body: JSON.stringify(args) });
  await response.arrayBuffer();
  count(`${op} ${response.status}`);
  if (response.status === 429) await Bun.sleep(Number(response.headers.get('retry-after')) * 1000);
}

/** Repeats `work` as long as there is more, in `clients` at once. */
function repeat(clients: number, work: () => Promise<unknown>, more = (): boolean => true): void {
  for (let client = 0; client < clients; client++)
    void (async () => {
      // An agent that does not answer at all is what is measured.
      while (more()) await work().catch(() => Bun.sleep(100));
    })();
}

/** With a small buffer for what it receives, and never a look at it. */
function openUnread(): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.pause();
      const head = `GET /sessions/${session}/stream HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ${token}\r\n\r\n`;
      socket.write(head, () => resolve());
    });
    socket.on('error', () => {});
  });
}

async function openAndLeave(): Promise<void> {
  const response = await fetch(`${url}/sessions/${session}/stream`, { headers });
  const reader = response.body?.getReader();
  await reader?.read();
  await reader?.read();
  await reader?.cancel();
  count(`stream ${response.status}`);
  if (response.status !== 200) await Bun.sleep(100);
}

for (let index = 0; index < order.streams; index++) await openUnread();
for (let index = 0; index < order.busy; index++)
  void call('shell', { cmd: 'while :; do :; done', background: true, timeout: 120 }).catch(() => {});
const page = (): number => Math.floor(Math.random() * 100_000_000);
repeat(order.openers, openAndLeave);
repeat(order.readers, () => call('read_session', { session, offset: page() }));
repeat(order.searchers, () => call('read_session', { session, match: 'password', context_lines: 20, offset: page() }));
let sent = 0;
const long = `true #${'A'.repeat(99_990)}`;
repeat(
  order.senders,
  () => call('shell', { cmd: long }),
  () => sent++ < order.commands,
);
console.log('ready');
setInterval(() => console.log(JSON.stringify(counts)), 1000);
