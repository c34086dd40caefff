import { type AuditLine, GENESIS } from './chain.ts';
import { isFileNote } from './resume.ts';

/**
 * What is wrong with the first line of the oldest of `files` files: it is the first of all, or the one that the agent
 * begins a new file with; before that, files are gone by their age alone, when `kept` older ones are there.
 */
export function beginningFaults(begin: AuditLine, files: number, kept: number): string[] {
  if (begin.seq === 1 && begin.prev === GENESIS) return [];
  if (!isFileNote(begin)) return ['lines are missing at the beginning'];
  const older = files - 1;
  if (older >= kept) return [];
  const gone = Number(begin['number']) - 1;
  return [
    `${gone} older ${gone === 1 ? 'file is' : 'files are'} gone, and ${older} of ${kept} that are kept are there`,
  ];
}
