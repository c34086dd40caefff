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

const LENGTHS = [22_500, 90_000] as const;
/** Four times the text takes four times as long, and sixteen times where it is quadratic; what is faster than this is noise. */
const NOISE_MS = 40;

/** Those of `pieces` that make `work` take more than with the length of a text, whatever stands before and behind them. */
export function slowPieces(pieces: readonly string[], work: (text: string) => unknown): string[] {
  const timeOf = (text: string): number => {
    const start = performance.now();
    work(text);
    return performance.now() - start;
  };
  const slow = pieces.filter((piece) =>
    ['', 'x', '\n', '\x07'].some((end) => {
      const [short, long] = LENGTHS.map((length) => {
        const text = `a${piece.repeat(length / piece.length)}${end}`;
        return Math.min(timeOf(text), timeOf(text));
      }) as [number, number];
      return long > NOISE_MS && long > short * 8;
    }),
  );
  return slow.map((piece) => JSON.stringify(piece));
}
