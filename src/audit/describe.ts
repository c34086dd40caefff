import { visibleLine } from '../lib/visible.ts';
import type { Verification } from './verify.ts';

/** More findings than these say nothing new. */
const MAX_SHOWN = 100;

/** What a check of the record found, a line each. `hasKey`: whether it was checked with the key of the seals. */
export function describeVerification(found: Verification, hasKey: boolean): string[] {
  return [...describeFindings(found), ...describeNotes(found), describeAll(found), describeSeals(found, hasKey)];
}

function describeFindings({ findings }: Verification): string[] {
  const shown = findings
    .slice(0, MAX_SHOWN)
    .map(({ file, line, what }) => `✗ ${file}${line === 0 ? '' : `:${line}`}: ${visibleLine(what)}`);
  return findings.length > MAX_SHOWN ? [...shown, `✗ and ${findings.length - MAX_SHOWN} more`] : shown;
}

function describeNotes({ notes }: Verification): string[] {
  return notes.slice(-MAX_SHOWN).map(({ file, line, what }) => `  ${file}:${line}: ${visibleLine(what)}`);
}

function describeAll({ files, lines, first, last, findings }: Verification): string {
  const range =
    first === undefined || last === undefined
      ? ''
      : `, number ${first.seq} (${visibleLine(first.time)}) to ${last.seq} (${visibleLine(last.time)})`;
  const all = `${lines} ${lines === 1 ? 'line' : 'lines'} in ${files.length} ${files.length === 1 ? 'file' : 'files'}${range}`;
  return findings.length === 0 ? `✓ ${all}: whole` : `${all}: ${findings.length} findings`;
}

function describeSeals({ sealed, unsealed, ofOtherKey }: Verification, hasKey: boolean): string {
  const open = 'who runs commands as the user of the agent may have forged';
  if (!hasKey)
    return `checked without the key: ${open} lines at its end. With it (AGENT3_AUDIT_KEY, or as root where the agent is installed) that is found`;
  if (sealed === 0) return `no line is sealed with the key: ${open} lines at its end`;
  // One of them is what somebody changed.
  if (ofOtherKey > 1) {
    const some =
      ofOtherKey === sealed ? `all ${sealed} sealed lines` : `the first ${ofOtherKey} of ${sealed} sealed lines`;
    return `checked with the key: ${some} have a MAC of another one. Was AGENT3_AUDIT_KEY changed? Then check those from before with the old key`;
  }
  const before = unsealed === 0 ? '' : `; the ${unsealed} before them are from before the key, and ${open} those`;
  return `checked with the key: ${sealed} ${sealed === 1 ? 'line is' : 'lines are'} sealed${before}`;
}
