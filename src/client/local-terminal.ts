import { isatty } from 'node:tty';
import type { Order } from './start.ts';
import type { Input } from './stdin.ts';

/** What the agent takes at most, in each direction. */
const MOST_CELLS = 1000;

/** The terminal of the person at this machine, passed on key by key until it is disposed of. */
export interface LocalTerminal extends Disposable {
  readonly input: Input;
  /** Makes the remote terminal one like this. */
  readonly order: Pick<Order, 'pty' | 'rows' | 'cols'> & { readonly env: Readonly<Record<string, string>> };
}

/** Takes the terminal that standard input is. `refuse` is called when it is not a terminal. */
export function openTerminal(
  { TERM, NO_COLOR }: Readonly<Record<string, string | undefined>>,
  refuse: (fault: string) => never,
): LocalTerminal {
  if (!isatty(0)) refuse('-t needs a terminal as standard input; leave it out here');
  const { stdin } = process;
  const [cols, rows] = isatty(1) ? process.stdout.getWindowSize() : [120, 24];
  const release = (): void => {
    stdin.setRawMode(false);
  };
  stdin.setRawMode(true);
  process.on('exit', release);
  return {
    input: { kind: 'pieces', pieces: keys() },
    order: {
      pty: true,
      rows: cells(rows),
      cols: cells(cols),
      // A person's terminal has colours, unless the person wants none; the agent's commands have none by default.
      env: { ...(TERM !== undefined && { TERM }), NO_COLOR: NO_COLOR ?? '' },
    },
    [Symbol.dispose]: release,
  };
}

function cells(count: number): number {
  return Math.min(MOST_CELLS, Math.max(1, count));
}

/** What is typed, all of it that came meanwhile at once. */
async function* keys(): AsyncGenerator<Uint8Array, void> {
  for await (const typed of process.stdin) yield typed as Uint8Array;
}
