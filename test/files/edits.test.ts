import { describe, expect, test } from 'bun:test';
import { withEdits } from '../../src/files/edits.ts';
import { InvalidArguments } from '../../src/lib/errors.ts';
import { MAX_FILE_BYTES } from '../../src/lib/limits.ts';

interface Given {
  readonly old: string;
  readonly new: string;
  readonly all?: boolean;
}

async function edited(text: string, ...edits: Given[]): Promise<string> {
  const all = edits.map((one) => ({ all: false, ...one }));
  return Buffer.from(await withEdits('/f', Buffer.from(text), all, async () => {})).toString();
}

/** The same numbers from 0 to 1 for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What perl(1), which works on bytes, makes of each file; `refused` where an edit cannot be made. Fields are in hex. */
const EDITOR = String.raw`
while (<STDIN>) {
  chomp;
  my ($file, @edits) = map { pack "H*", $_ } split /,/, $_, -1;
  my $refused = $file =~ /^(?:\xff\xfe|\xfe\xff)/;
  while (my ($old, $new, $all) = splice @edits, 0, 3) {
    my $count = () = $old eq "" ? () : $file =~ /\Q$old\E/g;
    if ($old eq "" || $old eq $new || $count == 0 || ($count > 1 && !$all)) { $refused = 1; last }
    $file =~ s/\Q$old\E/$new/g;
  }
  print $refused ? "refused" : unpack("H*", $file), "\n";
}`;

async function byPerl(
  cases: readonly { readonly file: Buffer; readonly edits: readonly Required<Given>[] }[],
): Promise<string[]> {
  const hex = (text: string): string => Buffer.from(text).toString('hex');
  const lines = cases.map(({ file, edits }) => {
    const fields = edits.flatMap((one) => [hex(one.old), hex(one.new), one.all ? '31' : '']);
    return [file.toString('hex'), ...fields].join(',');
  });
  const editor = Bun.spawn(['perl', '-e', EDITOR], { stdin: new Blob([`${lines.join('\n')}\n`]), stdout: 'pipe' });
  return (await editor.stdout.text()).trimEnd().split('\n');
}

describe('edits', () => {
  test('do what another editor does, in 10,000 files with one to three edits each', async () => {
    const random = randomFrom(20_261_129);
    const pick = <T>(from: readonly [T, ...T[]]): T => from[Math.floor(random() * from.length)] ?? from[0];
    const some = (most: number, from: readonly [string, ...string[]]): string =>
      Array.from({ length: Math.floor(random() * (most + 1)) }, () => pick(from)).join('');
    const cases = Array.from({ length: 10_000 }, () => {
      // Bytes that are no UTF-8 are in files alone: an edit is text.
      const text = some(40, ['a', 'b', '\n', '\r\n', 'é', '😀', ' ', '\t', '\xff', '\0', '$&']);
      const part = (): string => {
        const at = Math.floor(random() * text.length);
        return text.slice(at, at + 1 + Math.floor(random() * 4)).toWellFormed();
      };
      const edits = Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
        old: random() < 0.9 ? part() : some(3, ['a', 'b', '\n', '\r', 'é', '😀']),
        new: some(4, ['a', 'c', '\n', 'é', '$&', '\\1', '']),
        all: random() < 0.8,
      }));
      return { file: Buffer.from(text, pick(['utf8', 'utf8', 'latin1'])), edits };
    });
    const outcomes = cases.map(async ({ file, edits }) => {
      try {
        return Buffer.from(await withEdits('/f', file, edits, async () => {})).toString('hex');
      } catch (error) {
        if (error instanceof InvalidArguments) return 'refused';
        throw error;
      }
    });
    const expected = await byPerl(cases);
    expect(await Promise.all(outcomes)).toEqual(expected);
    const made = expected.filter((one) => one !== 'refused').length;
    expect(made).toBeGreaterThan(3000);
  });

  test('work on what those before them have made', async () => {
    expect(await edited('a b', { old: 'a', new: 'b b' }, { old: 'b b b', new: 'c' })).toBe('c');
  });

  test('take nothing in new for a pattern', async () => {
    expect(await edited('x', { old: 'x', new: "$& $1 $' \\n" })).toBe("$& $1 $' \\n");
  });

  test('say how often and where a text occurs, and name ten places at most', async () => {
    await expect(edited('x\n'.repeat(30), { old: 'x', new: 'y' })).rejects.toThrow(
      '30 times: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others. Send more of the text around it, or all: true.',
    );
    expect(await edited('aaa', { old: 'aa', new: 'b' })).toBe('ba');
  });

  test('name the edit that cannot be made', async () => {
    await expect(edited('a', { old: 'a', new: 'b' }, { old: 'zz', new: 'y' })).rejects.toThrow(
      /^old of edit 2 is not in "\/f"\./,
    );
  });

  test('make no file that is too large, however often a text occurs', async () => {
    const many = { old: '\n', new: 'x'.repeat(1000), all: true };
    await expect(edited('\n'.repeat(50_000), many)).rejects.toThrow('larger than 16 MiB');
    await expect(edited('\n'.repeat(MAX_FILE_BYTES), many)).rejects.toThrow('at most 100000 places');
  });

  test('replace so many places in one call, however they are divided among edits', async () => {
    const back = { old: 'b', new: 'a', all: true };
    const there = { old: 'a', new: 'b', all: true };
    expect(await edited('a'.repeat(50_000), there, back)).toBe('a'.repeat(50_000));
    await expect(edited('a'.repeat(50_001), there, back)).rejects.toThrow(
      /^old of edit 2 is in .* at most 100000 places/,
    );
  });

  test('of many places are made in pieces, and say how much memory they leave', async () => {
    const garbage: number[] = [];
    const many = { old: 'a', new: 'xyz', all: true };
    await withEdits('/f', Buffer.from('a'.repeat(100_000)), [many], async (bytes) => void garbage.push(bytes));
    expect(garbage.length).toBeGreaterThan(20);
    expect(garbage.filter((bytes) => bytes > 0)).toEqual([300_000]);
  });
});
