import { describe, expect, test } from 'bun:test';
import { SessionNotFound } from '../../src/lib/errors.ts';
import { asSessionId, newSessionId, parseSessionId, timeOfId } from '../../src/sessions/record.ts';

describe('session ids', () => {
  test('are UUIDs of version 7 that tell when they were made', () => {
    const before = Date.now();
    const id = newSessionId();
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timeOfId(id)).toBeGreaterThanOrEqual(before);
    expect(timeOfId(id)).toBeLessThanOrEqual(Date.now());
  });

  test.each([
    '',
    '.',
    '..',
    '../../etc/passwd',
    '/etc',
    'a'.repeat(36),
    '0199-',
    `${newSessionId()}/x`,
    `${newSessionId()}\0`,
  ])('%p is not an id', (text) => {
    expect(asSessionId(text)).toBeUndefined();
    expect(() => parseSessionId(text)).toThrow(SessionNotFound);
  });

  test('are read in upper case as well', () => {
    const id = newSessionId();
    expect(parseSessionId(id.toUpperCase())).toBe(id);
  });
});
