/**
 * A client that sends one request again and again on many connections: a process of its own, so that it does not share
 * a thread with what is measured. Reads a `FloodOrder` from its input; writes a line when every connection has had an
 * answer, and one with the statuses that it saw when its time is over.
 */
export interface FloodOrder {
  readonly url: string;
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly connections: number;
  readonly seconds: number;
}

if (import.meta.main) {
  const order = (await Bun.stdin.json()) as FloodOrder;
  const { method, headers, body, connections } = order;
  const statuses: Record<string, number> = {};
  let id = 0;
  const request = async (): Promise<void> => {
    // A client of MCP answers for the ids of its messages: each is another.
    const text = body?.replaceAll('"ID"', () => String(++id));
    const response = await fetch(order.url + order.path, {
      method,
      headers,
      ...(text !== undefined && { body: text }),
    });
    await response.arrayBuffer();
    statuses[response.status] = (statuses[response.status] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: connections }, request));
  process.stdout.write('begun\n');
  const end = performance.now() + order.seconds * 1000;
  const connection = async (): Promise<void> => {
    while (performance.now() < end) await request();
  };
  await Promise.all(Array.from({ length: connections }, connection));
  process.stdout.write(`${JSON.stringify(statuses)}\n`);
}
