import { expect, test } from 'bun:test';
import { createServer, type Socket } from 'node:net';
import { SigningKey } from '../../src/fleet/keys.ts';
import { connectOnce } from '../../src/fleet/nats.ts';
import { eventually } from '../helpers/waiting.ts';

const INFO = { server_id: 'x', version: '2.9.10', proto: 1, headers: true, tls_required: true, max_payload: 2 ** 21 };

test.each([
  ['says nothing', ''],
  ['greets and begins no TLS', `INFO ${JSON.stringify(INFO)}\r\n`],
])('an attempt to connect to who %s leaves no connection open', async (_, greeting) => {
  let ended = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}).on('close', () => ended++));
    socket.resume().write(greeting);
  }).listen(0, '127.0.0.1');
  const { port } = server.address() as { readonly port: number };
  try {
    const address = { url: `tls://127.0.0.1:${port}`, certificate: undefined, key: SigningKey.create(), name: 'test' };
    await expect(connectOnce(address, 300)).rejects.toThrow('timeout');
    await eventually('the connection is over', () => ended === 1, 5000);
    expect(sockets).toHaveLength(1);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
