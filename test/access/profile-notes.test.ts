import { describe, expect, test } from 'bun:test';
import { BUILT_IN, type ProfileFile, profileOf } from '../../src/access/profile.ts';
import { profileNotes } from '../../src/access/profile-notes.ts';

const MACHINE = { memoryBytes: 2048 * 1_048_576, cpus: 2 };

/** What is noted of a profile; its faults where it has some. */
const notesOf = (file: ProfileFile): readonly string[] => {
  const made = profileOf('app', file);
  return 'name' in made ? profileNotes(made, MACHINE) : made;
};

describe('a note reports', () => {
  const rows: readonly [file: ProfileFile, told: string][] = [
    [{ limits: { memory_mib: 2049 } }, 'memory_mib 2049 has no effect: this machine has 2048 MiB'],
    [{ limits: { cpu_percent: 200 } }, 'cpu_percent 200 has no effect: all CPUs of this machine are 200'],
    [
      { limits: { processes: 4 } },
      'processes 4 is too few for a pipe, which needs 5: the sandbox and its shell take 3',
    ],
    [
      { rules: [{ action: 'confirm', command: 'systemctl', arguments: 'restart nginx' }] },
      'rule 1: arguments "restart nginx" is one argument with a space in it: if several are meant, write arguments = ["restart","nginx"]',
    ],
    [
      { hide: ['/srv/app/.env', '/srv/*.key', '/srv/{a,b}'] },
      'hide /srv/{a,b}: * is any part of one name; ?, [ and { are only themselves',
    ],
    [
      { rules: ['rm', 'rm'].map((command) => ({ action: 'deny', command })) },
      'rule 2 is never reached: rule 1 (deny command rm) already covers all of it',
    ],
  ];
  test.each(rows)('%j: %s', (file, told) => {
    expect(notesOf(file)).toEqual([told]);
  });
});

test('nothing is noted of what holds, and of what is built in', () => {
  expect(notesOf({ limits: { memory_mib: 2048, cpu_percent: 199, processes: 5 } })).toEqual([]);
  expect(notesOf({ extends: 'full', limits: { processes: 4 } })).toEqual([]);
  expect(Object.values(BUILT_IN).flatMap((profile) => profileNotes(profile, MACHINE))).toEqual([]);
});
