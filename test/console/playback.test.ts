import { describe, expect, test } from 'bun:test';
import { Playback, readInBlocks } from '../../src/console/page/playback.ts';
import type { Stream } from '../../src/console/shown.ts';
import type { TimingMark } from '../../src/sessions/timing-marks.ts';

/** Plays texts, or streams of a size that nobody has in memory; notes what is shown, and how much was read. */
function play(marks: readonly TimingMark[], texts: Readonly<Record<Stream, string | number>>, isTerminal = false) {
  const shown: string[] = [];
  const read = { bytes: 0, calls: 0, largest: 0 };
  const source = readInBlocks(async (stream, from, bytes) => {
    const text = texts[stream];
    const part =
      typeof text === 'string'
        ? Buffer.from(text).subarray(from, from + bytes)
        : Buffer.alloc(Math.max(0, Math.min(bytes, text - from)), 'x');
    read.bytes += part.length;
    read.calls++;
    return part;
  });
  const playback = new Playback(marks, isTerminal, source, {
    clear: () => void shown.splice(0),
    write: (stream, bytes) => {
      read.largest = Math.max(read.largest, bytes.length);
      shown.push(`${stream === 'stderr' ? '!' : ''}${Buffer.from(bytes)}`);
    },
    skip: (bytes) => void shown.push(`<${bytes} left out>`),
  });
  return { playback, shown, read };
}

const MARKS = [
  { ms: 10, stdout: 4, stderr: 0 },
  { ms: 20, stdout: 4, stderr: 3 },
  { ms: 2000, stdout: 8, stderr: 3 },
];
const TEXTS = { stdout: 'one\ntwo\n', stderr: 'oh\n' };

describe('a playback', () => {
  test('shows each stream when it was written, forward, and at any time that is jumped to', async () => {
    const { playback, shown } = play(MARKS, TEXTS);
    await playback.advance(15);
    expect(shown).toEqual(['one\n']);
    expect(playback.nextMs).toBe(20);
    await playback.advance(1999);
    expect(shown).toEqual(['one\n', '!oh\n']);
    await playback.advance(5000);
    expect(shown).toEqual(['one\n', '!oh\n', 'two\n']);
    expect(playback.at).toBe(2000);
    expect(playback.nextMs).toBeUndefined();
    await playback.jump(12);
    expect(shown).toEqual(['one\n']);
    await playback.jump(0);
    expect(shown).toEqual([]);
    await playback.jump(99_999);
    expect(shown).toEqual(['one\n', '!oh\n', 'two\n']);
  });

  test('of a gigabyte reads and shows a little of it, wherever it begins', async () => {
    const GIB = 1_073_741_824;
    const marks = [
      { ms: 1000, stdout: GIB, stderr: 0 },
      { ms: 2000, stdout: 2 * GIB, stderr: 10 },
    ];
    const { playback, shown, read } = play(marks, { stdout: 2 * GIB, stderr: 10 });
    await playback.advance(1000);
    expect(shown[0]).toBe(`<${GIB - 65_536} left out>`);
    await playback.advance(2000);
    await playback.jump(1500);
    await playback.jump(2000);
    expect(read.largest).toBeLessThanOrEqual(65_536);
    expect(read.bytes).toBeLessThan(2_000_000);
    const screen = play([{ ms: 1000, stdout: GIB, stderr: 0 }], { stdout: GIB, stderr: 0 }, true);
    await screen.playback.jump(1000);
    expect(screen.read.bytes).toBeLessThanOrEqual(3 * 131_072);
  });

  test('draws a screen from where it was cleared last', async () => {
    const stdout = `old\u001b[2Jolder\u001b[?1049hnew screen`;
    const { playback, shown } = play([{ ms: 5, stdout: stdout.length, stderr: 0 }], { stdout, stderr: '' }, true);
    await playback.jump(5);
    expect(shown).toEqual(['\u001b[?1049hnew screen']);
    await playback.jump(1);
    expect(shown.join('')).toBe('');
  });

  test('goes on where a command has emptied its stream, or its file was cut', async () => {
    const marks = [
      { ms: 1, stdout: 100, stderr: 0 },
      { ms: 2, stdout: 0, stderr: 0 },
      { ms: 3, stdout: 4, stderr: 0 },
    ];
    const { playback, shown } = play(marks, { stdout: 'new\n', stderr: '' });
    await playback.advance(1);
    await playback.advance(3);
    expect(shown.join('')).toContain('new\n');
    await playback.jump(3);
    expect(shown.join('')).toContain('new\n');
  });

  test('reads many small parts in few calls', async () => {
    const marks = Array.from({ length: 1000 }, (_, at) => ({ ms: at, stdout: (at + 1) * 100, stderr: 0 }));
    const { playback, shown, read } = play(marks, { stdout: 'y'.repeat(100_000), stderr: '' });
    for (let ms = 0; ms < 1000; ms += 7) await playback.advance(ms);
    await playback.advance(1000);
    expect(shown.join('').length).toBe(100_000);
    expect(read.calls).toBe(1);
  });
});
