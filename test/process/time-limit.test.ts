import { expect, test } from 'bun:test';
import { TimeLimit } from '../../src/process/time-limit.ts';

/** A server that the test freezes. */
class Server {
  isFrozen = false;
  readonly listeners = new Set<() => void>();

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  turn(isFrozen: boolean): void {
    this.isFrozen = isFrozen;
    for (const listener of this.listeners) listener();
  }
}

test('a time limit stops while the server is frozen, and has the rest of its time then', async () => {
  const server = new Server();
  using frozen = new TimeLimit(0.05, server);
  server.turn(true);
  const other = new Server();
  using running = new TimeLimit(0.2, other);
  await running.reached.wait();
  expect(frozen.reached.fired).toBe(false);
  server.turn(false);
  await frozen.reached.wait();
});

test('one that begins while the server is frozen begins to run at the thaw; it lets go of the server at its end', async () => {
  const server = new Server();
  server.turn(true);
  {
    using limit = new TimeLimit(0.01, server);
    server.turn(false);
    await limit.reached.wait();
  }
  expect(server.listeners.size).toBe(0);
});
