import { InvalidArguments } from './errors.ts';

/** The arguments of `new RegExp`. */
export interface Pattern {
  readonly pattern: string;
  readonly flags: string;
}

/**
 * Parses a pattern in the syntax of JavaScript; `(?i)` at its beginning, as in other languages, ignores case. Throws
 * `InvalidArguments` if it is invalid.
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
    `${name} is not a regular expression (${reason.slice(0, 200)}). Escape special characters with a backslash.`,
  );
}
