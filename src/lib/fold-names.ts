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
