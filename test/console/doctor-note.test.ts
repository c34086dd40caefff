import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { DOCTOR_NOTE, keepDoctorNote, readDoctorNote } from '../../src/console/doctor-note.ts';
import { PATHS } from '../../src/install/layout.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const NOTE = {
  at: 1_700_000_000_000,
  version: '1.2.3',
  ok: false,
  findings: [
    { check: 'disk', ok: true, found: 'there is room' },
    { check: 'clock', ok: false, found: 'it is wrong', advice: 'timedatectl set-ntp true' },
  ],
};

test('the note of doctor is where the installer knows it', () => {
  expect(PATHS.doctor).toBe(DOCTOR_NOTE);
});

describe.skipIf(process.geteuid?.() !== 0)('what doctor found', () => {
  const place = new TemporaryDirectory();
  afterAll(() => place[Symbol.dispose]());
  const path = place.join('doctor.json');

  test('is kept for everybody to read, and for root alone to write', () => {
    keepDoctorNote(NOTE, path);
    expect(readDoctorNote(path)).toEqual(NOTE);
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test('is kept where a finding is very long', () => {
    keepDoctorNote({ ...NOTE, findings: [{ check: 'x', ok: false, found: 'y'.repeat(100_000) }] }, path);
    expect(readDoctorNote(path)?.findings[0]?.found).toHaveLength(4000);
  });

  test('is not believed of anybody but root', () => {
    expect(readDoctorNote(place.join('none'))).toBeNull();
    keepDoctorNote(NOTE, path);
    symlinkSync(path, place.join('link'));
    expect(readDoctorNote(place.join('link'))).toBeNull();
    chmodSync(path, 0o666);
    expect(readDoctorNote(path)).toBeNull();
    chmodSync(path, 0o644);
    chownSync(path, 64_001, 64_001);
    expect(readDoctorNote(path)).toBeNull();
    for (const text of ['', '{', '[]', JSON.stringify({ ...NOTE, findings: 'none' })]) {
      const other = place.join('other');
      writeFileSync(other, text);
      expect(readDoctorNote(other)).toBeNull();
    }
    const large = place.join('large');
    writeFileSync(large, '');
    truncateSync(large, 2 ** 33);
    expect(readDoctorNote(large)).toBeNull();
  });
});
