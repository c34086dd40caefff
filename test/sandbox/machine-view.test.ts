import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { busDoor, parseUnixSockets, showsAllProcesses, socketsNow } from '../../src/sandbox/machine-view.ts';

const TABLE = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 22087 /run/systemd/private
0000000000000000: 00000002 00000000 00010000 0001 01 22088 private/smtp
0000000000000000: 00000002 00000000 00010000 0001 01 22089 @abstract
0000000000000000: 00000003 00000000 00000000 0001 03 22090 /var/lib/connected
0000000000000000: 00000002 00000000 00000000 0002 01 22091 /var/lib/datagram
0000000000000000: 00000002 00000000 00010000 0005 01 22092 /var/lib/packets
0000000000000000: 00000003 00000000 00000000 0001 03 22093
0000000000000000: 00000002 00000000 00010000 0001 01 22094 /srv/with a space
`;

describe('the table of sockets', () => {
  const { listening, abstractBytes } = parseUnixSockets(Buffer.from(TABLE));

  test('has the names that programs listen on for streams', () =>
    expect(listening).toEqual(['/run/systemd/private', 'private/smtp', '/srv/with a space']));

  test('has the lengths of the addresses of abstract sockets', () =>
    // Two bytes of the family, the NUL, and the name.
    expect([...abstractBytes]).toEqual([2 + 1 + 'abstract'.length]));

  test('counts bytes, not characters', () => {
    const line = '0: 00000002 00000000 00010000 0001 01 1 @ü€';
    expect([...parseUnixSockets(Buffer.from(line)).abstractBytes]).toEqual([2 + 1 + 5]);
  });

  test('has what listens on this machine', () => {
    const directory = mkdtempSync(join(tmpdir(), 'agent3-sockets-'));
    const path = join(directory, 'ü');
    const server = Bun.listen({ unix: path, socket: { data: () => {} } });
    expect(socketsNow().listening).toContain(path);
    server.stop(true);
    rmSync(directory, { recursive: true });
  });
});

describe('the path to the bus', () => {
  test('is as long as its addresses say, with the NUL behind it and without', () => {
    const door = busDoor({ abstractBytes: new Set() });
    expect(door?.path).toMatch(/^\/run\/agent3-bus-+$/);
    const bytes = Number(door?.path.length);
    expect(door?.addressBytes).toEqual([2 + bytes, 2 + bytes + 1]);
  });

  test('has no length that an abstract socket has', () => {
    const free = [81, 82];
    const taken = [...Array(111).keys()].filter((bytes) => !free.includes(bytes));
    expect(busDoor({ abstractBytes: new Set(taken) })?.addressBytes).toEqual(free);
    expect(busDoor({ abstractBytes: new Set([...taken, 82]) })).toBeUndefined();
  });
});

describe('all processes are shown', () => {
  const line = (options: string): string => `26 1 0:23 / /proc rw,nosuid shared:13 - proc proc ${options}`;
  test.each([
    ['rw', true],
    ['rw,hidepid=0', true],
    ['rw,hidepid=off', true],
    ['rw,gid=4,hidepid=2', false],
    ['rw,hidepid=invisible', false],
  ])('by a /proc with the options %s: %p', (options, isShown) => {
    expect(showsAllProcesses(`${line(options)}\n27 26 0:24 / /proc/sys ro - proc proc rw,hidepid=2`)).toBe(isShown);
  });
});
