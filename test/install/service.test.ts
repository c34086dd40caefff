import { describe, expect, test } from 'bun:test';
import { portFault } from '../../src/install/machine.ts';
import { lastWords, parseMoment, parseStatus } from '../../src/install/service.ts';

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
  const text = 'one\ntwo\nthree\nfour\nfour\n';
  const failed = { result: 'exit-code', startedMs: 50_000, writtenMs: 50_200, text };

  test('are the last lines that it wrote, each once', () => {
    expect(lastWords(failed)).toEqual(['three', 'four']);
    expect(lastWords({ ...failed, result: 'signal', text: 'agent3: no\n' })).toEqual(['agent3: no']);
    expect(lastWords({ ...failed, text: '' })).toEqual([]);
  });

  test('are not those of an earlier start', () => {
    expect(lastWords({ ...failed, writtenMs: 48_000 })).toEqual([]);
    expect(lastWords({ ...failed, writtenMs: undefined })).toEqual([]);
    // Nothing was started: a file of the unit is missing, say.
    expect(lastWords({ ...failed, result: 'resources' })).toEqual([]);
  });

  test('are none where it was stopped', () => {
    expect(lastWords({ ...failed, result: 'success' })).toEqual([]);
  });

  test('are shown when nobody knows when it was started, and when the clock of files is a tick behind', () => {
    expect(lastWords({ ...failed, startedMs: undefined })).toEqual(['three', 'four']);
    expect(lastWords({ ...failed, writtenMs: 49_996 })).toEqual(['three', 'four']);
  });

  const answers: readonly [text: string, ms: number | undefined][] = [
    ['t 1764166952123456\n', 1_764_166_952_123.456],
    ['t 0\n', undefined],
    ['', undefined],
    ['s "x"\n', undefined],
  ];
  test.each(answers)('as busctl tells it: %j', (answer, ms) => expect(parseMoment(answer)).toBe(ms));
});
