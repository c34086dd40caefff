import { InvalidArguments } from './errors.ts';

/** What `new RegExp` takes. */
export interface Pattern {
  readonly pattern: string;
  readonly flags: string;
}

/**
 * A pattern in the syntax of JavaScript; `(?i)` at its beginning, as other languages write it, ignores case. Throws
 * `InvalidArguments` for what is none.
 */
export function parsePattern(text: string, name = 'match'): Pattern {
  const ignoresCase = text.startsWith('(?i)');
  const pattern = ignoresCase ? text.slice(4) : text;
  let reason = '';
  // Without `u` more escapes are allowed, such as `\-`.
  for (const unicode of ['u', '']) {
    try {
      new RegExp(pattern, unicode);
      return { pattern, flags: ignoresCase ? `i${unicode}` : unicode };
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
  }
  throw new InvalidArguments(
    `${name} is no regular expression (${reason.slice(0, 200)}). Escape special characters with a backslash.`,
  );
}
