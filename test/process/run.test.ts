import { describe, expect, test } from 'bun:test';
import { exitCodeOf } from '../../src/process/run.ts';

describe('exit codes', () => {
  test.each([
    ['exited', { code: 3, signal: null }, 3],
    ['exited', { code: null, signal: 'SIGKILL' }, 137],
    ['exited', { code: null, signal: 40 }, 168],
    ['killed', { code: null, signal: 'SIGTERM' }, 143],
    ['output_limit', { code: null, signal: 'SIGKILL' }, 137],
    ['timeout', { code: 0, signal: null }, 124],
    ['exited', undefined, null],
    ['lost', undefined, null],
  ] as const)('a command that %s with %p has %p', (reason, status, code) => {
    expect(exitCodeOf(reason, status)).toBe(code);
  });
});
