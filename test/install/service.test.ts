import { describe, expect, test } from 'bun:test';
import { portFault } from '../../src/install/machine.ts';
import { lastWords, parseStatus } from '../../src/install/service.ts';

describe('what the agent tells systemd of its commands', () => {
  const cases: readonly [text: string, commands: number, outliving: number][] = [
    ['0 commands run', 0, 0],
    ['1 command runs', 1, 0],
    ['12 commands run, 3 of them through a restart', 12, 3],
    ['1 command runs, 1 of them through a restart', 1, 1],
    ['stopping', 0, 0],
    ['', 0, 0],
  ];
  test.each(cases)('%j', (text, commands, outliving) => {
    expect(parseStatus(text)).toEqual({ commands, outliving });
  });
});

describe('a port', () => {
  test('that is taken is told apart from an address that is none of this machine', async () => {
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
  test.each(cases)('%s after %j', (result, text, words) => expect(lastWords(result, text)).toEqual(words));
});
