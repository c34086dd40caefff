import { dlopen } from 'bun:ffi';
import { loadFirst } from './libc.ts';

const SYMBOLS = {
  socket: { args: ['int', 'int', 'int'], returns: 'int' },
  sendto: { args: ['int', 'ptr', 'u64', 'int', 'ptr', 'u32'], returns: 'i64' },
} as const;

/** socket(2), send(2), unix(7). */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MAX_PATH_BYTES = 108;

/** Sends a message; returns whether it was accepted. */
export type Notify = (message: string) => boolean;

/**
 * Opens systemd's notification socket (sd_notify(3)), for which Bun has no API. `path` is `$NOTIFY_SOCKET`: a path, or
 * a name in the abstract namespace that begins with `@`. Throws if no socket can be made.
 */
export function openNotifySocket(path: string): Notify {
  const { symbols } = loadFirst((name) => dlopen(name, SYMBOLS));
  const fd = symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error('the system gave no unix datagram socket');
  const address = unixAddress(path);
  return (message) => {
    const bytes = Buffer.from(message);
    const sent = symbols.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
    return Number(sent) === bytes.length;
  };
}

/** `struct sockaddr_un`: the family in the machine's byte order (little endian on both architectures), then the path. */
function unixAddress(path: string): Buffer {
  const name = Buffer.from(path);
  if (name.length === 0 || name.length > MAX_PATH_BYTES) throw new Error(`${path} is not the path of a unix socket`);
  if (name[0] === '@'.charCodeAt(0)) name[0] = 0;
  return Buffer.concat([Buffer.from([AF_UNIX, 0]), name]);
}
