import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { utimesSync, writeFileSync } from 'node:fs';
import { type RecordSearch, searchRecord } from '../../src/audit/search-record.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const DAY = 86_400_000;
const START = Date.parse('2026-11-01T00:00:00Z');
const PER_DAY = 10_000;

/** The lines of a day of 5,000 sessions: a start and an end of each. */
function dayOf(day: number): string {
  const lines: string[] = [];
  for (let index = 0; index < PER_DAY; index++) {
    const session = `${String(day).padStart(8, '0')}-0000-7000-8000-${String(Math.floor(index / 2)).padStart(12, '0')}`;
    const time = new Date(START + day * DAY + index * 8000).toISOString();
    const what =
      index % 2 === 0
        ? {
            event: 'start',
            session,
            token: index % 4 === 0 ? 'deploy#a1' : 'chat',
            cmd: `echo Run ${day}/${index}`,
            cwd: '/srv',
          }
        : { event: 'end', session, token: index % 4 === 1 ? 'deploy#a1' : 'chat', status: 'done', exit_code: 0 };
    const prev = 'a'.repeat(64);
    lines.push(JSON.stringify({ seq: day * PER_DAY + index + 1, time, ...what, note: 'x'.repeat(200), prev }));
  }
  return `${lines.join('\n')}\n`;
}

describe('a search of the record', () => {
  const place = new TemporaryDirectory();
  const path = place.join('audit.jsonl');
  let chunks = 0;
  const rest = async (): Promise<void> => {
    chunks++;
  };
  const search = (asked: RecordSearch, more = {}) =>
    searchRecord(path, asked, { lines: 100, bytes: 16 * 1_048_576, rest, ...more });

  beforeAll(() => {
    writeFileSync(place.join('audit.jsonl.2.gz'), Bun.gzipSync(Buffer.from(dayOf(0))));
    // As logrotate leaves it: of the time of its last line.
    utimesSync(place.join('audit.jsonl.2.gz'), new Date(), new Date(START + DAY - 1));
    writeFileSync(place.join('audit.jsonl.1'), dayOf(1) + dayOf(2) + dayOf(3));
    writeFileSync(path, dayOf(4));
  });
  afterAll(() => place[Symbol.dispose]());

  /** All lines that match, page by page, and how many pages it took. */
  const all = async (asked: RecordSearch, more = {}) => {
    const seqs: number[] = [];
    let pages = 0;
    for (let before: number | null | undefined = asked.before; before !== null; pages++) {
      const { lines, next } = await search({ ...asked, ...(before !== undefined && { before }) }, more);
      seqs.push(...lines.map(({ seq }) => seq));
      before = next;
    }
    return { seqs, pages };
  };

  test('begins with the newest line, and goes back page by page over all files, each line once', async () => {
    const { lines, next } = await search({});
    expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, at) => 5 * PER_DAY - at));
    expect(next).toBe(5 * PER_DAY - 99);
    const { seqs } = await all({}, { lines: 5000 });
    expect(seqs).toEqual(Array.from({ length: 5 * PER_DAY }, (_, at) => 5 * PER_DAY - at));
  });

  test('is not ended by a file that is damaged or cut off', async () => {
    using other = new TemporaryDirectory();
    const record = other.join('audit.jsonl');
    writeFileSync(`${record}.3.gz`, Bun.gzipSync(Buffer.from(dayOf(0))));
    writeFileSync(`${record}.2.gz`, 'no gzip');
    writeFileSync(`${record}.1.gz`, Bun.gzipSync(Buffer.from(dayOf(1))).subarray(0, 2000));
    writeFileSync(record, dayOf(2));
    const limits = { lines: 100, bytes: 64 * 1_048_576, rest };
    const { lines } = await searchRecord(record, { text: '/4242' }, limits);
    expect(lines.map((line) => line['cmd'])).toEqual(['echo Run 2/4242', 'echo Run 0/4242']);
  });

  test('of a day reads the lines of that day alone', async () => {
    for (const day of [1, 2, 3, 4]) {
      chunks = 0;
      const from = START + day * DAY;
      const { seqs, pages } = await all({ from, to: from + DAY, text: `run ${day}/50` });
      // 50, 50x, 50xx: the even ones of them.
      expect(seqs.length).toBe(1 + 5 + 50);
      expect(seqs.every((seq) => seq > day * PER_DAY && seq <= (day + 1) * PER_DAY)).toBe(true);
      const dayChunks = Math.ceil(dayOf(day).length / 262_144);
      expect(pages).toBe(1);
      expect(chunks).toBeLessThanOrEqual(dayChunks + 2);
    }
  });

  test('finds lines of a compressed file, of one token, and of one session', async () => {
    const { lines } = await search({ to: START + DAY, token: 'deploy', text: 'run 0/8' }, { lines: 3 });
    expect(lines.map((line) => line['cmd'])).toEqual(['echo Run 0/8996', 'echo Run 0/8992', 'echo Run 0/8988']);
    const session = String(lines[0]?.['session']);
    const ofSession = await all({ session });
    expect(ofSession.seqs.length).toBe(2);
  });

  test('looks through a part for one answer, and says where the next one begins', async () => {
    chunks = 0;
    const { lines, next, backTo } = await search({ text: 'none has this' }, { bytes: 1_048_576 });
    expect(lines).toEqual([]);
    expect(chunks).toBeLessThanOrEqual(5);
    expect(next).toBeLessThan(5 * PER_DAY);
    expect(Date.parse(backTo ?? '')).toBeGreaterThan(START + 4 * DAY);
    expect((await all({ text: 'none has this' }, { bytes: 1_048_576 })).seqs).toEqual([]);
  });

  test('does not mind lines that are not of a record, and fields that nobody reads', async () => {
    const odd = place.join('odd.jsonl');
    writeFileSync(odd, `{"seq":1,"time":"2026-11-01T00:00:00Z","event":"start","prev":"x"}\nnonsense\n\n{"seq":2`);
    const { lines } = await searchRecord(odd, {}, { lines: 9, bytes: 1e6, rest });
    expect(lines.map(({ seq }) => seq)).toEqual([1]);
    expect((await search({ text: 'a'.repeat(64) })).lines).toEqual([]);
  });
});
