import { existsSync } from 'node:fs';
import { additions } from '../inventory.ts';
import { PATHS } from '../layout.ts';
import { readFile, readText, userExists } from '../machine.ts';
import type { Manifest } from '../manifest.ts';
import { readOriginal } from '../original.ts';
import { cronLines, savedPath } from '../takeover.ts';
import { bad, type Finding, good } from './finding.ts';

/** Whether the users and files that the installer has made are still there. */
export function inventoryFinding(manifest: Manifest): Finding {
  const missing = additions({ ...manifest, staged: false }, 'user', 'program', 'file')
    // Where the package puts it, dpkg knows.
    .filter(({ shipped }) => !(manifest.packaged && shipped === true))
    .filter(({ kind, name }) => !(kind === 'user' ? userExists(name) : existsSync(name)))
    .map(({ kind, name }) => (kind === 'user' ? `the user ${name}` : name));
  if (missing.length === 0) return good('files', 'users and files of the installation are there');
  return bad('files', `missing: ${missing.join(', ')}`, 'agent3 install');
}

/** Cron lines of the agent that was here before, which would start it again; none where there was no such agent. */
export function originalFindings(): Finding[] {
  const original = readOriginal(readText(savedPath(PATHS.unit)) ?? '', readFile);
  if (original === undefined) return [];
  return cronLines(original).map(({ of, line }) => {
    const [place, repair] =
      'user' in of ? [`the crontab of ${of.user}`, `crontab -u ${of.user} -e`] : [of.file, `an editor on ${of.file}`];
    const what = `${place} starts the agent again whenever it is stopped, for the agent that was here before: ${line.trim()}`;
    return bad('cron', what, `remove that line: ${repair}`);
  });
}
