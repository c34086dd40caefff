import { secretSpans } from '../../src/secrets/secrets.ts';

/** Of 10,000 lines that hold no secret, at most one is changed. */
export const MOST_OF_10_000 = 1;

/** The lines of a text that would be changed, in parts as an answer has them. */
export function alarms(text: string): string[] {
  const found = new Set<string>();
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', Math.min(text.length, at + 90_000));
    const end = newline === -1 ? text.length : newline + 1;
    const part = text.slice(at, end);
    for (const { start } of secretSpans(part)) {
      const begin = part.lastIndexOf('\n', start - 1) + 1;
      found.add(`${at + begin}: ${part.slice(begin, begin + 200).split('\n')[0]}`);
    }
    at = end;
  }
  return [...found];
}
