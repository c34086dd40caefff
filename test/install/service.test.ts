import { describe, expect, test } from 'bun:test';
import { portFault } from '../../src/install/machine.ts';
import { lastLogLines } from '../../src/install/service.ts';

describe('a port', () => {
  test('that is taken is told apart from an address that this machine does not have', async () => {
    const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } });
    try {
      expect(await portFault('127.0.0.1', taken.port)).toBe('EADDRINUSE');
      expect(await portFault('203.0.113.1', taken.port)).toBe('EADDRNOTAVAIL');
      expect(await portFault('no-such-host.invalid', taken.port)).not.toBe('EADDRINUSE');
      expect(await portFault('127.0.0.1', 0)).toBeUndefined();
    } finally {
      taken.stop(true);
    }
  });
});

describe('the last words of a service that does not start', () => {
  const cases: readonly [result: string, text: string, words: string[]][] = [
    ['exit-code', 'one\ntwo\nthree\nfour\nfour\n', ['three', 'four']],
    ['signal', 'agent3: no\n', ['agent3: no']],
    ['resources', '', []],
    ['success', 'one\n', []],
  ];
  test.each(cases)('%s after %j', (result, text, words) => expect(lastLogLines(result, text)).toEqual(words));
});
