import { preview } from '../lib/describe-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';

/*
 * Names of servers in short, as ClusterShell writes them: `web[1-3,7]` is web1, web2, web3 and web7; `web[01-12]` has
 * two digits each.
 */

/** Most names that one pattern may stand for. */
const MOST = 1000;

const PATTERN = /^([^[\]]*)\[([^[\]]*)\]([^[\]]*)$/;

/** The names that a pattern stands for; a name stands for itself. Throws `InvalidArguments`. */
export function expandNames(pattern: string): string[] {
  const [, before = '', ranges, after = ''] = PATTERN.exec(pattern) ?? [];
  if (ranges === undefined) {
    if (/[[\]]/.test(pattern)) throw notANames(pattern);
    return [pattern];
  }
  // Each range stands for a name at least.
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
    `A name of servers is web1, or web[1-3,7] for at most ${MOST}, not ${preview(pattern)}. Nothing was run.`,
  );
}

interface Numbered {
  readonly before: string;
  readonly digits: string;
  readonly after: string;
}

/** The last number of a name is what is counted. */
function numberedOf(name: string): Numbered | undefined {
  const [, before = '', digits, after = ''] = /^(.*?)(\d{1,9})(\D*)$/.exec(name) ?? [];
  return digits === undefined ? undefined : { before, digits, after };
}

/** Names in short, in their order: those with the same text around a number are joined. */
export function foldNames(names: readonly string[]): string[] {
  const families = new Map<string, { readonly head: Numbered | undefined; readonly numbers: string[] }>();
  for (const name of names) {
    const numbered = numberedOf(name);
    // Numbers of a fixed width are another family than those without zeros before them.
    const width = numbered?.digits.startsWith('0') === true ? numbered.digits.length : 0;
    const family = numbered === undefined ? name : `${numbered.before}\0${width}\0${numbered.after}`;
    const known = families.get(family) ?? { head: numbered, numbers: [] };
    if (numbered !== undefined) known.numbers.push(numbered.digits);
    families.set(family, known);
  }
  return [...families].map(([name, { head, numbers }]) => {
    if (head === undefined) return name;
    const ranges = rangesOf(numbers);
    const isOne = ranges.length === 1 && !ranges[0]?.includes('-');
    return `${head.before}${isOne ? ranges[0] : `[${ranges.join(',')}]`}${head.after}`;
  });
}

function rangesOf(numbers: readonly string[]): string[] {
  const sorted = [...new Set(numbers)].sort((a, b) => Number(a) - Number(b));
  const ranges: { from: string; to: string }[] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && Number(number) === Number(last.to) + 1) last.to = number;
    else ranges.push({ from: number, to: number });
  }
  return ranges.map(({ from, to }) => (from === to ? from : `${from}-${to}`));
}
