import { existsSync, readdirSync } from 'node:fs';
import { hasSealedLines } from '../audit/leftover.ts';
import { runCommand } from './command.ts';
import { PATHS } from './layout.ts';
import { isStaged, type Situation } from './survey.ts';

const NAME = /^audit\.jsonl/;

/**
 * A record whose key is gone cannot be gone on with: under another key each of its lines would read as forged. It is kept
 * as it is, in a directory of its own, and another one begins. Does nothing where there is a key, or no sealed record.
 */
export function keepRecordOfLostKey({ options, changes, isNewKey, notes }: Situation, now = new Date()): void {
  if (!isNewKey || isStaged(options) || !existsSync(PATHS.audit) || !hasSealedLines(PATHS.audit)) return;
  const place = `${PATHS.logs}/record-until-${now.toISOString().slice(0, 19).replaceAll(':', '')}`;
  const files = readdirSync(PATHS.logs)
    .filter((name) => NAME.test(name))
    .map((name) => `${PATHS.logs}/${name}`);
  changes.directory(place, { mode: 0o700 });
  // A file that can only be added to cannot be moved either. An agent that runs goes on in it until it is restarted.
  const free = `chattr -a ${PATHS.audit} 2>/dev/null`;
  changes.command(['sh', '-c', `${free}; mv ${files.join(' ')} ${place}`], () => {
    runCommand(['sh', '-c', `mv ${place}/* ${PATHS.logs}; chattr +a ${PATHS.audit} 2>/dev/null`]);
  });
  notes.push(
    `AGENT3_AUDIT_KEY was missing in ${PATHS.settings}, so a new one was made. The record so far was sealed with the one that is gone; it is kept in ${place}, and a new record begins. With the old key it can still be checked: AGENT3_AUDIT_KEY=… agent3 audit verify --file ${place}/audit.jsonl`,
  );
}
