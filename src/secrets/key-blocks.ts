/** Begins or ends a private key, as PEM and the armor of PGP write them. */
const MARKER = /-----(BEGIN|END) (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----/g;

/** What begins or ends a private key in a text. */
export interface KeyMarker {
  readonly isBegin: boolean;
  readonly start: number;
  readonly end: number;
}

/** The markers of private keys in a text, in their order. */
export function keyMarkers(text: string): readonly KeyMarker[] {
  if (!text.includes('PRIVATE KEY')) return [];
  return [...text.matchAll(MARKER)].map(({ 0: found, 1: kind, index }) => {
    return { isBegin: kind === 'BEGIN', start: index, end: index + found.length };
  });
}

/** Lines of a PEM or of an armor, which may be written as `\n` in a string. */
const LINE = /(?:\r?\n|\\r\\n|\\n)[ \t]{0,16}/;
const HEADER =
  /^(?:Proc-Type: 4,ENCRYPTED|DEK-Info: [A-Z0-9-]{1,32},[0-9A-Fa-f]{1,64}|(?:Version|Comment): [\w .@-]{0,100})$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{1,200}={0,2}|=[A-Za-z0-9+/]{4})$/;

/**
 * The private keys in a command, each as a whole block of Base64 and nothing else: in a shell, what stands between the
 * markers of another block is run. Looks at each character a fixed number of times.
 */
export function keyBlocks(text: string): { readonly start: number; readonly end: number; readonly kind: string }[] {
  const spans: ReturnType<typeof keyBlocks> = [];
  const markers = keyMarkers(text);
  for (const [index, { isBegin, start, end: from }] of markers.entries()) {
    const last = markers[index + 1];
    if (!isBegin || last === undefined || last.isBegin) continue;
    const inside = text.slice(from, last.start);
    if (inside.includes('-----')) continue;
    const hidden = keyChars(inside);
    if (hidden === inside.length) spans.push({ start, end: last.end, kind: 'private key' });
    else if (hidden !== undefined) spans.push({ start, end: from + hidden, kind: 'private key' });
  }
  return spans;
}

/** How many characters of what stands in a block are of a key; undefined where it is none. */
function keyChars(inside: string): number | undefined {
  const lines = inside.split(LINE).map((line) => line.trimEnd());
  const written = lines.filter((line) => line !== '' && !HEADER.test(line));
  const last = written.at(-1);
  if (last === undefined || !written.every((line) => BASE64.test(line))) return undefined;
  if (!written.slice(0, -1).every(isNoName)) return undefined;
  if (isNoName(last)) return inside.length;
  // The few characters of its last line tell nothing of a key, and may be the name of a program.
  return written.length === 1 ? undefined : inside.lastIndexOf(last);
}

/**
 * Whether a line of Base64 can be no program that is simply there: those have no such mixture in their names, and no
 * three slashes in a row; one that was made for it stands in the record before.
 */
function isNoName(line: string): boolean {
  return /=/.test(line) || (/[a-z]/.test(line) && /[A-Z]/.test(line) && /\d/.test(line) && !line.includes('///'));
}
