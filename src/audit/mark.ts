import type { Seal, SealState } from './seal.ts';

/** What of a record is surely on the disk: a loss of power takes no line up to this number. */
export interface Mark {
  /** Number of the last line that was synced before the mark was written. */
  readonly seq: number;
  /** The boot in which it was written (`/proc/sys/kernel/random/boot_id`). */
  readonly boot: string;
  /** The agent has ended in order, and nothing came after that line. */
  readonly isClosed: boolean;
  readonly seal: SealState;
}

/** Where the mark of a record is. Apart from the note of its end, whose form agents of old know. */
export function markPath(path: string): string {
  return `${path}.synced`;
}

/** Longest mark. */
export const MARK_BYTES = 84;

/** In the place of a MAC where there is no key. */
const NO_MAC = '-'.repeat(22);

/** One length, so that it is written in its place and never seen half. */
export function markText(seal: Seal, { seq, boot, isClosed }: Omit<Mark, 'seal'>): string {
  const text = `${String(seq).padStart(16, '0')} ${boot.padEnd(36)} ${isClosed ? 'closed' : 'open  '}`;
  return `${text} ${seal.of(text) ?? NO_MAC}\n`;
}

/** Reads a mark; undefined for what no agent with this key has written. */
export function parseMark(seal: Seal, text: string): Mark | undefined {
  const match = /^((\d{16}) ([\w-]{1,36} *) (open {2}|closed)) ([\w-]{22})\n$/.exec(text);
  if (match === null) return undefined;
  const [, all = '', seq, boot = '', state, mac] = match;
  const right = seal.of(all);
  if (mac !== (right ?? NO_MAC)) return undefined;
  const sealState = right === undefined ? 'none' : 'right';
  return { seq: Number(seq), boot: boot.trim(), isClosed: state === 'closed', seal: sealState };
}
