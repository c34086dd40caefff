import { writeSync } from 'node:fs';
import type { Command } from '@commander-js/extra-typings';
import type { SearchOrder } from '../calls/search.ts';
import type { MatchQuestion } from '../commands/matcher.ts';
import { endWithParent } from '../linux/libc.ts';
import { type LineMatch, matchLines, STREAM_DESCRIPTOR } from '../sessions/match-lines.ts';

/** `agent3 match-lines`, hidden: the agent starts it to search the output of a session. */
export function defineMatchLines(command: Command): void {
  command.action(searchFile);
}

/** `agent3 match-text`, hidden: answers a `Matcher`. It is a process of its own because a pattern may never end. */
export function defineMatchText(command: Command): void {
  command.action(async () => {
    endWithParent();
    for await (const line of console) {
      const { pattern, flags, text } = JSON.parse(line) as MatchQuestion;
      const found = new RegExp(pattern, flags).exec(text);
      writeSync(1, `${JSON.stringify(found && found.index + found[0].length)}\n`);
    }
  });
}

/** Answers a `SearchOrder` on the inherited stream with lines of JSON. */
async function searchFile(): Promise<void> {
  endWithParent();
  const order = (await Bun.stdin.json()) as SearchOrder;
  const pattern = new RegExp(order.pattern, order.flags);
  let chars = 0;
  for (const step of matchLines({ ...order, fd: STREAM_DESCRIPTOR, pattern })) {
    const text = `${JSON.stringify('match' in step ? { match: shortened(step.match) } : step)}\n`;
    writeSync(1, text);
    if ('match' in step) chars += text.length;
    if (chars > order.maxChars) return;
  }
}

/** The agent shows 1,000 characters of a line. The characters after them are needed to recognize a secret. */
const HEAD_CHARS = 1000 + 4096;
/** The name of a secret may be at the end of a line, and its value on the next line. */
const TAIL_CHARS = 512;

/** Cuts the lines of a match to what the agent looks at: with context, 41 lines of 64 KB would be 2.7 MB. */
function shortened(match: LineMatch): LineMatch {
  const { before, text, after } = match;
  return { ...match, before: before.map(withoutMiddle), text: withoutMiddle(text), after: after.map(withoutMiddle) };
}

function withoutMiddle(line: string): string {
  return line.length <= HEAD_CHARS + TAIL_CHARS ? line : line.slice(0, HEAD_CHARS) + line.slice(-TAIL_CHARS);
}
