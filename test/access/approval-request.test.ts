import { expect, test } from 'bun:test';
import { statSync } from 'node:fs';
import { readDecision, takeAway, writeDecision } from '../../src/access/approval-request.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const SESSION = '01234567-89ab-4cde-8f01-23456789abcd';
const decision = { session: SESSION, digest: 'a'.repeat(64), verdict: 'approve', why: '', by: 'root' } as const;

test.skipIf(process.geteuid?.() !== 0)(
  'a decision can be read by anyone who may enter its directory, whatever the umask of root is, and taken back',
  () => {
    using directory = new TemporaryDirectory();
    const before = process.umask(0o077);
    try {
      writeDecision(directory.path, decision);
    } finally {
      process.umask(before);
    }
    expect(statSync(directory.join(`${SESSION}.json`)).mode & 0o777).toBe(0o644);
    expect(readDecision(directory.path, SESSION)).toEqual(decision);
    expect(() => writeDecision(directory.path, { ...decision, verdict: 'deny' })).toThrow(/EEXIST/);
    takeAway(directory.path, SESSION);
    expect(readDecision(directory.path, SESSION)).toBeUndefined();
  },
);
