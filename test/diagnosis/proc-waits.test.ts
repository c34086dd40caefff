import { describe, expect, test } from 'bun:test';
import { closeSync, openSync } from 'node:fs';
import { heldLocks, lockable, parseLocks, parseSockets } from '../../src/diagnosis/proc-waits.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

describe('/proc/locks', () => {
  test('tells who holds a lock, not who waits for it', () => {
    const text = [
      '1: OFDLCK ADVISORY  READ -1 fe:00:100 203 203',
      '2: FLOCK  ADVISORY  WRITE 10050 fe:00:200 0 EOF',
      '2: -> FLOCK  ADVISORY  WRITE 10053 fe:00:200 0 EOF',
      '3: POSIX  ADVISORY  WRITE 77 08:01:300 0 EOF',
      '4: LEASE  ACTIVE    READ 78 08:01:400 0 EOF',
      '',
    ].join('\n');
    expect(parseLocks(text)).toEqual([
      { holder: -1, file: '254:0:100' },
      { holder: 10_050, file: '254:0:200' },
      { holder: 77, file: '8:1:300' },
    ]);
  });

  test('leaves out the device where there is none', () => {
    expect(parseLocks('1: FLOCK  ADVISORY  WRITE 10050 00:2a:200 0 EOF\n')).toEqual([
      { holder: 10_050, file: '0:200' },
    ]);
  });

  test('names a file that is locked as its process has it open, and no device', async () => {
    using directory = new TemporaryDirectory();
    const held = directory.join('lock');
    await using holder = Bun.spawn(['flock', held, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await holder.stdout.getReader().read();
    const [lock, device] = [openSync(held, 'r'), openSync('/dev/null', 'r')];
    try {
      const named = lockable(process.pid, lock);
      expect(named).toBeString();
      expect(heldLocks().map(({ file }) => file)).toContain(named ?? '');
      expect(lockable(process.pid, device)).toBeUndefined();
    } finally {
      for (const fd of [lock, device]) closeSync(fd);
    }
  });
});

describe('/proc/net/tcp', () => {
  const line = (local: string, remote: string, state: string, inode: number): string =>
    `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 0000000000000000 100 0 0 10 0`;
  const cases: readonly [what: string, line: string, socket: { state: string; address: string }][] = [
    [
      'a listening socket',
      line('00000000:1F90', '00000000:0000', '0A', 5),
      { state: 'listening', address: '0.0.0.0:8080' },
    ],
    [
      'a connection',
      line('0100007F:C000', '07710CCB:01BB', '01', 5),
      { state: 'connected', address: '203.12.113.7:443' },
    ],
    [
      'a connection that is made',
      line('0100007F:C000', '07710CCB:0016', '02', 5),
      { state: 'connecting', address: '203.12.113.7:22' },
    ],
    [
      'IPv6',
      line('00000000000000000000000001000000:0050', 'B80D0120000000000000000001000000:0050', '01', 5),
      { state: 'connected', address: '[2001:db8::1]:80' },
    ],
    [
      'IPv4 in IPv6',
      line('00000000000000000000000000000000:0050', '0000000000000000FFFF00000100007F:0050', '01', 5),
      { state: 'connected', address: '127.0.0.1:80' },
    ],
  ];
  test.each(cases)('tells of %s', (_, text, socket) => {
    expect(parseSockets(`  sl  local_address …\n${text}\n`)).toEqual([{ ...socket, inode: 5 } as never]);
  });

  test('leaves out what waits for nobody', () => {
    expect(parseSockets(`head\n${line('0100007F:0050', '0100007F:C000', '06', 5)}\n`)).toEqual([]);
  });
});
