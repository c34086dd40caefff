import { type Server, TOKEN } from './servers.ts';

/** One keep-alive connection that sends a request at a time, with as little of its own as possible. */
export class Connection implements Disposable {
  #received = '';
  #answered: ((body: string) => void) | undefined;

  private constructor(private readonly socket: { write(data: string): number; end(): void }) {}

  static async open(port: number): Promise<Connection> {
    let connection: Connection | undefined;
    const decoder = new TextDecoder();
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: { data: (_socket, bytes) => connection?.receive(decoder.decode(bytes, { stream: true })) },
    });
    socket.setNoDelay(true);
    connection = new Connection(socket);
    return connection;
  }

  /** Sends a whole request and resolves with the body of its answer. */
  send(request: string): Promise<string> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.socket.write(request);
    });
  }

  private receive(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf('\r\n\r\n');
    if (head === -1) return;
    const headers = this.#received.slice(0, head);
    const length = Number(/content-length: (\d+)/i.exec(headers)?.[1] ?? 0);
    if (this.#received.length < head + 4 + length) return;
    // What is sent in pieces ends with an empty one.
    if (/transfer-encoding: chunked/i.test(headers) && !this.#received.endsWith('\r\n0\r\n\r\n')) return;
    const body = this.#received.slice(head + 4);
    this.#received = '';
    this.#answered?.(body);
  }

  [Symbol.dispose](): void {
    this.socket.end();
  }
}

/** A request as it goes over the wire. */
export function requestText(
  server: Pick<Server, 'path' | 'body'>,
  body: string = server.body,
  token: string = TOKEN,
): string {
  const headers = `Host: localhost\r\nX-Auth-Token: ${token}\r\nContent-Type: application/json`;
  return `POST ${server.path} HTTP/1.1\r\n${headers}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Milliseconds of each of `count` requests, one after the other. */
export async function timeRequests(connection: Connection, request: string, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let sent = 0; sent < count; sent++) {
    const start = performance.now();
    await connection.send(request);
    times.push(performance.now() - start);
  }
  return times;
}

/** Calls an operation of an agent and returns its answer. Throws when it is refused. */
export async function call(server: Server, op: string, args: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`http://127.0.0.1:${server.port}/`, {
    method: 'POST',
    headers: { 'x-auth-token': TOKEN },
    body: JSON.stringify({ op, args }),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${op} was refused: ${JSON.stringify(answer)}`);
  return answer;
}
