/** What a stream or a client can be made of to keep a careless reader busy. */
export const HOSTILE_PIECES = [
  '\r',
  '\x1b',
  '\x1b[',
  '\b',
  '\x1b]',
  '\x1b]8;;',
  '\x1bP',
  '\x1b[0;',
  '\x1b(',
  '\x1b\\',
  '\x9b',
  '\x9d',
  '\x07',
  'a\b',
  'a\r',
  '\r\b',
  '\x1b\r',
  '\x1b]\r',
  '\x1b[\x1b]',
  '\r\n',
  ' ',
  '>',
  '> ',
  '\u{1f600}',
] as const;

const LENGTHS = [11_250, 45_000] as const;
/** Four times the text takes four times as long, and sixteen times where it is quadratic; what is faster than this is noise. */
const NOISE_MS = 20;
/** A machine that has other things to do is slow now and then; a quadratic reader always is. */
const ATTEMPTS = 5;

/** Those of `pieces` that make `work` grow faster than the length of a text, whichever of `ends` follows them. */
export function slowPieces(
  pieces: readonly string[],
  work: (text: string) => unknown,
  ends: readonly string[] = ['', 'x', '\n', '\x07'],
): string[] {
  const timeOf = (text: string): number => {
    const start = cpuMs();
    work(text);
    return cpuMs() - start;
  };
  const isSlow = (textOf: (length: number) => string): boolean => {
    const [short, long] = LENGTHS.map(textOf) as [string, string];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const took = timeOf(long);
      if (took <= NOISE_MS || took <= 8 * timeOf(short)) return false;
    }
    return true;
  };
  const slow = pieces.filter((piece) =>
    ends.some((end) => isSlow((length) => `a${piece.repeat(length / piece.length)}${end}`)),
  );
  return slow.map((piece) => JSON.stringify(piece));
}

/** Milliseconds that this process has computed so far: other processes of a busy machine take none of them. */
export function cpuMs(): number {
  return process.cpuUsage().user / 1000;
}
