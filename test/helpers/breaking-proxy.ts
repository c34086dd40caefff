import { connect, createServer, type Socket } from 'node:net';

/** A proxy of TCP whose connections break. */
export interface BreakingProxy extends Disposable {
  readonly port: number;
  /** How many have broken. */
  broken(): number;
}

/** Passes connections on to `target` on this machine, and breaks each when it has carried so many bytes of answers, or of requests. */
export function breakingProxy(
  target: number,
  bytes: number,
  counted: 'answers' | 'requests' = 'answers',
): BreakingProxy {
  let broken = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const agent = connect(target, '127.0.0.1');
    let carried = 0;
    const end = (): void => {
      client.destroy();
      agent.destroy();
    };
    const carry = (to: Socket, isCounted: boolean) => (data: Buffer) => {
      if (!isCounted) return void to.write(data);
      const left = bytes - carried;
      carried += data.length;
      to.write(data.subarray(0, left));
      if (carried < bytes) return;
      broken++;
      end();
    };
    agent.on('data', carry(client, counted === 'answers'));
    client.on('data', carry(agent, counted === 'requests'));
    for (const socket of [client, agent]) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', end);
    }
  }).listen(0, '127.0.0.1');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    broken: () => broken,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
