import { type AuditLine, GENESIS } from './chain.ts';
import type { HeadState } from './head.ts';
import { isFileNote } from './resume.ts';

/** A line that tells of a record of agents that did not count its files. */
export interface Upgrade {
  readonly seq: number;
  /** Number of the first line that there was then; undefined: it could not be read. */
  readonly firstSeq: number | undefined;
}

/** What a line of the agent tells of an upgrade; undefined for another. */
export function upgradeOf(line: AuditLine): Upgrade | undefined {
  if (line['what'] !== 'upgraded') return undefined;
  const first = line['first_seq'];
  return { seq: line.seq, firstSeq: typeof first === 'number' ? first : undefined };
}

/**
 * What is wrong with the first line of the oldest of `files` files: it is the first of all, or the one that the agent
 * begins a new file with; before that, files are gone by their age alone, when `kept` older ones are there.
 */
export function beginningFaults(
  begin: AuditLine,
  upgrade: Upgrade | undefined,
  head: HeadState,
  files: number,
  kept: number,
): string[] {
  if (begin.seq === 1 && begin.prev === GENESIS) return [];
  const older = files - 1;
  if (isFileNote(begin)) {
    const gone = Number(begin['number']) - 1;
    if (older >= kept) return [];
    return [
      `${gone} older ${gone === 1 ? 'file is' : 'files are'} gone, and ${older} of ${kept} that are kept are there`,
    ];
  }
  // Of agents that did not mark their files.
  const isOld = typeof head !== 'string' && head.files === undefined;
  const isBeforeUpgrade = upgrade !== undefined && begin.seq < upgrade.seq;
  const isKnown = isBeforeUpgrade && (upgrade.firstSeq === undefined || upgrade.firstSeq === begin.seq);
  if (begin.seq > 1 && (isOld || isKnown || (isBeforeUpgrade && older >= kept))) return [];
  return ['lines are missing at the beginning'];
}
