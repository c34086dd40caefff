import { writeSync } from 'node:fs';
import type { SearchOrder } from '../operations/search.ts';
import { matchLines } from '../sessions/match-lines.ts';

/**
 * Reads a `SearchOrder` from standard input and writes each match and the progress as a line of JSON. It is a process
 * of its own because a pattern may take for ever, and only a process can be stopped then.
 */
export async function searchFile(): Promise<void> {
  const order = (await Bun.stdin.json()) as SearchOrder;
  const pattern = new RegExp(order.pattern, order.flags);
  let chars = 0;
  for (const step of matchLines({ ...order, pattern })) {
    const text = `${JSON.stringify(step)}\n`;
    writeSync(1, text);
    if ('match' in step) chars += text.length;
    if (chars > order.maxChars) return;
  }
}
