import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { readAtMost, readPlain, replaceReadable } from '../lib/files.ts';

/** What `agent3 doctor` found when it last ran. */
const noteSchema = Type.Object({
  /** Milliseconds since the epoch. */
  at: Type.Integer(),
  /** Of Agent3. */
  version: Type.String({ maxLength: 100 }),
  ok: Type.Boolean(),
  findings: Type.Array(
    Type.Object({
      check: Type.String({ maxLength: 100 }),
      ok: Type.Boolean(),
      found: Type.String({ maxLength: 4000 }),
      advice: Type.Optional(Type.String({ maxLength: 4000 })),
    }),
    { maxItems: 200 },
  ),
});
export type DoctorNote = Static<typeof noteSchema>;

/** Root alone writes it, and everybody may read it. */
export const DOCTOR_NOTE = '/etc/agent3/doctor.json';

const MAX_BYTES = 262_144;
const OTHERS_WRITE = 0o022;

/** Keeps what doctor has found. Throws the system's error. */
export function keepDoctorNote(note: DoctorNote, path = DOCTOR_NOTE): void {
  const long = (text: string): string => text.slice(0, 4000).toWellFormed();
  const findings = note.findings.map(({ check, ok, found, advice }) => ({
    ...{ check, ok, found: long(found) },
    ...(advice !== undefined && { advice: long(advice) }),
  }));
  replaceReadable(path, JSON.stringify({ ...note, findings }));
}

/** What doctor found last; null where it has not run, or where what lies there is not root's word. */
export function readDoctorNote(path = DOCTOR_NOTE): DoctorNote | null {
  try {
    const text = readPlain(path, (fd, { uid, mode }) =>
      uid === 0 && (mode & OTHERS_WRITE) === 0 ? readAtMost(fd, MAX_BYTES) : undefined,
    );
    const note: unknown = JSON.parse(text ?? 'null');
    return Value.Check(noteSchema, note) ? note : null;
  } catch {
    return null;
  }
}
