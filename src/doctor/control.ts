import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { distrust } from '../approvals/request.ts';
import { verifyRecord } from '../audit/verify.ts';
import { describeErrno } from '../core/errors.ts';
import { PATHS } from '../install/layout.ts';
import { installedAuditKey } from '../install/settings-file.ts';
import type { Profile } from '../profiles/profile.ts';
import { faultWords, readProfiles } from '../profiles/profile-book.ts';
import { readTokens, TokenFileFault } from '../tokens/token-file.ts';
import { bad, type Finding, good } from './finding.ts';
import { machineFault, userFault } from './profile-machine.ts';

/**
 * Whether every profile that a token has is there, and its commands can run. `usual` is that of the token of the
 * settings, `own` the user of the agent.
 */
export function profilesFinding(usual: string, own: string): Finding {
  try {
    const foreign = [PATHS.profiles, ...filesIn(PATHS.profiles), PATHS.tokens].flatMap(foreignHand);
    if (foreign[0] !== undefined) return foreign[0];
    const { profiles, faulty } = readProfiles(PATHS.profiles);
    const [fault] = faulty.flatMap(faultWords);
    if (fault !== undefined) return bad('profiles', fault, 'agent3 profile check');
    const used = new Set([usual, ...readTokens(PATHS.tokens).map(({ profile = 'full' }) => profile)]);
    const missing = [...used].find((name) => !profiles.has(name));
    if (missing !== undefined)
      return bad('profiles', `there is no profile ${missing}, which a token has`, 'agent3 profile list');
    const all = [...used].map((name) => profiles.get(name)).filter((profile) => profile !== undefined);
    const faults = all.flatMap((profile) => faultOf(profile, own));
    if (faults[0] !== undefined) return bad('profiles', faults[0], 'agent3 profile check, then mend the profile');
    return good('profiles', `in use: ${[...used].sort().join(', ')}`);
  } catch (error) {
    if (error instanceof TokenFileFault) return bad('profiles', error.message, 'agent3 token list');
    throw error;
  }
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

/** A file that says what tokens may do, and that others than root may change. */
function foreignHand(path: string): Finding[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || (stat.uid === 0 && (stat.mode & 0o022) === 0)) return [];
  const what = `others than root may change ${path}, and with it what commands may do`;
  return [bad('profiles', what, `chown root ${path}; chmod go-w ${path}`)];
}

function faultOf(profile: Profile, own: string): string[] {
  const fault = userFault(profile, own) ?? machineFault(profile, own);
  return fault === undefined ? [] : [`${profile.name}: ${fault}`];
}

/** Whether a person's decisions can be trusted to be root's. */
export function approvalsFinding(): Finding {
  const fault = distrust(PATHS.approvals);
  return fault === undefined
    ? good('approvals', `${PATHS.approvals} is root's alone`)
    : bad('approvals', fault, 'agent3 install; what needs approval is denied until then');
}

/** Whether the audit record is whole. */
export function auditFinding(): Finding {
  if (!existsSync(PATHS.audit)) return bad('audit', `${PATHS.audit} is missing`, 'systemctl restart agent3');
  try {
    const { lines, findings } = verifyRecord(PATHS.audit, { key: installedAuditKey() });
    const [first, ...others] = findings;
    if (first === undefined) return good('audit', `${lines} lines, whole`);
    const more = others.length === 0 ? '' : `; and ${others.length} more`;
    const where = `${first.file}${first.line > 0 ? `:${first.line}` : ''}`;
    return bad('audit', `${where}: ${first.what}${more}`, 'agent3 audit verify');
  } catch (error) {
    return bad('audit', `${PATHS.audit} cannot be read: ${describeErrno(error)}`, 'agent3 audit verify');
  }
}
