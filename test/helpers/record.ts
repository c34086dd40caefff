import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { agent3 } from './cli.ts';

/** A line of the audit record. */
export type RecordLine = Readonly<Record<string, unknown>>;

/** The lines of a record's file, each as it is written. */
export function textOf(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

/** The lines of a record's file; one that is not whole is left out. */
export function linesOf(path: string): RecordLine[] {
  return textOf(path).flatMap((line) => {
    try {
      return [JSON.parse(line) as RecordLine];
    } catch {
      return [];
    }
  });
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Lines that go on from `last` as those of an agent without a key do. */
export function forge(last: string, count: number): string[] {
  const forged: string[] = [];
  for (let before = last; forged.length < count; ) {
    const seq = Number((JSON.parse(before) as RecordLine)['seq']) + 1;
    const time = new Date().toISOString();
    before = JSON.stringify({ seq, time, event: 'operation', op: 'server_info', prev: sha256(before) });
    forged.push(before);
  }
  return forged;
}

/** The note of where a record ends, as an agent without a key writes it; without `files`, as one of old did. */
export function noteOf(line: string, files?: number): string {
  const { seq } = JSON.parse(line) as RecordLine;
  const first = `${String(seq).padStart(16, '0')} ${sha256(line)}\n`;
  return files === undefined ? first : `${first}${String(files).padStart(8, '0')} ${'-'.repeat(22)}\n`;
}

/** What `agent3 audit verify` says of a record. */
export function verify(path: string, key?: string, ...options: string[]) {
  return agent3(['audit', 'verify', '--file', path, ...options], key === undefined ? {} : { AGENT3_AUDIT_KEY: key });
}
