import { preview } from '../lib/describe-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';

/*
 * Short forms for names of servers, as in ClusterShell: `web[1-3,7]` is web1, web2, web3 and web7; `web[01-12]` has
 * two digits each.
 */

/** Limit for the names in one pattern. */
const MOST = 1000;

const PATTERN = /^([^[\]]*)\[([^[\]]*)\]([^[\]]*)$/;

/** Returns the names that a pattern describes. A plain name describes itself. Throws `InvalidArguments`. */
export function expandNames(pattern: string): string[] {
  const [, before = '', ranges, after = ''] = PATTERN.exec(pattern) ?? [];
  if (ranges === undefined) {
    if (/[[\]]/.test(pattern)) throw notANames(pattern);
    return [pattern];
  }
  // Each range has at least one name.
  const parts = ranges.split(',', MOST + 1);
  let left = MOST;
  const names = parts.flatMap((range) => {
    const [, from, to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range) ?? [];
    if (from === undefined || to === undefined) throw notANames(pattern);
    const width = from.startsWith('0') ? from.length : 0;
    const count = Number(to) - Number(from) + 1;
    if (count < 1 || count > left) throw notANames(pattern);
    left -= count;
    return Array.from(
      { length: count },
      (_, at) => `${before}${String(Number(from) + at).padStart(width, '0')}${after}`,
    );
  });
  return names;
}

function notANames(pattern: string): InvalidArguments {
  return new InvalidArguments(
    `servers takes names such as web1, or web[1-3,7] for at most ${MOST}, not ${preview(pattern)}. Nothing was run.`,
  );
}
