import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { headPath, headText, markPath, markText, Seal } from '../../src/audit/chain.ts';
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

/** Lines that continue from `last` as those of an agent without a key do. */
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

/** The note of where a record of so many files ends, as an agent without a key writes it. */
export function noteOf(line: string, files: number): string {
  const { seq } = JSON.parse(line) as RecordLine;
  return `${String(seq).padStart(16, '0')} ${sha256(line)}\n${String(files).padStart(8, '0')} ${'-'.repeat(22)}\n`;
}

/** What `agent3 audit verify` says of a record. */
export function verify(path: string, key?: string, ...options: string[]) {
  return agent3(['audit', 'verify', '--file', path, ...options], key === undefined ? {} : { AGENT3_AUDIT_KEY: key });
}

/** Boots of a machine that has long been switched off. */
const EARLIER_BOOTS = ['11111111-2222-3333-4444-555555555555', '22222222-2222-3333-4444-555555555555'];

/** What a record's files are as if all of it was written in earlier boots; the numbers are those of lines. */
export interface EarlierBoot {
  /** The last line that was synced, as the mark has it; below 0, counted from the last one. */
  readonly synced: number;
  /** The line that the note of the end was written with; otherwise, the last one. */
  readonly noted?: number;
  readonly isClosed?: boolean;
}

/**
 * Rewrites a record, with right hashes and MACs, as if an earlier boot had made what no earlier one has. What is not a
 * line stays. Returns its lines.
 */
export function moveToEarlierBoot(
  path: string,
  key: string | undefined,
  { synced, noted, isClosed = false }: EarlierBoot,
): string[] {
  const seal = new Seal(key);
  const text = readFileSync(path, 'latin1');
  const boot = EARLIER_BOOTS.find((earlier) => !text.includes(earlier)) ?? '';
  let last = '';
  let seq = 0;
  const lines = text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      if (!line.startsWith('{"seq":') || !line.endsWith('}')) return line;
      const { mac: _, ...fields } = JSON.parse(line) as RecordLine;
      const isEarlier = EARLIER_BOOTS.includes(String(fields['boot']));
      const prev = last === '' ? '0'.repeat(64) : sha256(last);
      last = seal.line(JSON.stringify({ ...fields, ...('boot' in fields && !isEarlier && { boot }), prev }));
      seq = Number(fields['seq']);
      return last;
    });
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''), 'latin1');
  const head = noted ?? seq;
  writeFileSync(headPath(path), headText(seal, head, sha256(noted === undefined ? last : (lines[noted - 1] ?? '')), 1));
  writeFileSync(markPath(path), markText(seal, { seq: synced < 0 ? seq + synced : synced, boot, isClosed }));
  return lines;
}
