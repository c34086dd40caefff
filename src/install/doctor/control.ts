import { existsSync } from 'node:fs';
import { overlapFault } from '../../access/access.ts';
import { distrust } from '../../access/approval-request.ts';
import { BUILT_IN, lookProfile, type Profile } from '../../access/profile.ts';
import { describeFileFaults } from '../../access/profile-files.ts';
import { profileMistakes } from '../../access/profile-notes.ts';
import { RESERVED, readTokens, TokenFileFault } from '../../access/token-file.ts';
import { markPath } from '../../audit/chain.ts';
import { verifyRecord } from '../../audit/verify.ts';
import { checkSignatures } from '../../console/signed-lines.ts';
import { describeErrno } from '../../lib/errors.ts';
import { LOOK_USER } from '../../lib/look-user.ts';
import type { MachineFault } from '../../sandbox/sandbox-cause.ts';
import { overlaps } from '../../sandbox/workspace.ts';
import { installedAuditKey } from '../installed.ts';
import { PATHS } from '../layout.ts';
import { bad, type Found, good } from './finding.ts';
import { installedProfiles, lookBusFault, machineFaults, unreadable, userFault } from './profile-machine.ts';

/** Whether the profiles in use are there and work. `usual`: that of the settings' token; `own`: the agent's user. */
export async function profilesFinding(usual: string, own: string): Promise<Found> {
  try {
    const { profiles, faulty } = installedProfiles(own);
    const [unusable] = faulty.flatMap(describeFileFaults);
    if (unusable !== undefined) return bad(unusable, 'agent3 profile check');
    const unread = existsSync(PATHS.tokens) ? unreadable(PATHS.tokens, own) : undefined;
    if (unread !== undefined) return bad(`${PATHS.tokens}: ${unread}`, OPEN_TOKENS);
    const tokens = [{ name: RESERVED, profile: usual }, ...readTokens(PATHS.tokens)];
    const lost = tokens.find(({ profile = 'full' }) => !profiles.has(profile));
    if (lost !== undefined)
      return bad(
        `the token ${lost.name} has the profile ${lost.profile}, which does not exist`,
        lost.name === RESERVED
          ? `correct AGENT3_PROFILE in ${PATHS.settings}, then: systemctl restart agent3`
          : `restore ${PATHS.profiles}/${lost.profile}.toml, or end the token: agent3 token revoke ${lost.name}`,
      );
    const used = new Set(tokens.map(({ profile = 'full' }) => profile));
    const all = [...used].map((name) => profiles.get(name)).filter((profile) => profile !== undefined);
    const fault = await profilesFault(all, own, [...profiles.values()]);
    if (fault !== undefined) return bad(fault.what, fault.cure ?? MEND);
    return good(`in use: ${[...used].sort().join(', ')}`);
  } catch (error) {
    if (error instanceof TokenFileFault) return bad(error.message, 'agent3 token list');
    throw error;
  }
}

/** As the installer and `agent3 token` leave it: whose group it is shows the directory of the logs. */
const OPEN_TOKENS = `chgrp --reference=${PATHS.logs} ${PATHS.tokens}; chmod 640 ${PATHS.tokens}`;

const MEND = 'agent3 profile check, then correct the profile';

/** What keeps profiles from being used: the machine's own fault once, with the names of all that have it. */
async function profilesFault(
  profiles: readonly Profile[],
  own: string,
  all: readonly Profile[],
): Promise<MachineFault | undefined> {
  for (const profile of profiles) {
    const what = userFault(profile, own) ?? overlapFault(profile, all, overlaps) ?? profileMistakes(profile)[0];
    if (what !== undefined) return { what: `${profile.name}: ${what}` };
  }
  const faults = await machineFaults(profiles, own);
  const [first] = faults.values();
  if (first === undefined) return undefined;
  const names = [...faults].filter(([, { what }]) => what === first.what).map(([name]) => name);
  return { ...first, what: `${names.join(', ')}: ${first.what}` };
}

/** Reports what `look` has here. A server without bubblewrap works without it. */
export async function lookFinding(own: string): Promise<Found> {
  const profile = { ...lookProfile(BUILT_IN.full), name: 'look' };
  const fault = (await machineFaults([profile], own)).get('look');
  if (fault !== undefined) return { ...good(`not offered: ${fault.what}`), ...(fault.cure && { advice: fault.cure }) };
  if (own !== 'root') return good(`runs as ${own}, without services: those need an agent that runs as root`);
  const busFault = await lookBusFault(profile);
  if (busFault === undefined) return good(`runs as ${LOOK_USER}, with services`);
  return { ...good(`shows no services: ${busFault.what}`), ...(busFault.cure && { advice: busFault.cure }) };
}

/** Whether a person's decisions can be trusted to be root's, and reach the agent, whose user is `own`. */
export function approvalsFinding(own: string): Found {
  const fault = distrust(PATHS.approvals);
  const unread = fault === undefined ? unreadable(PATHS.approvals, own) : undefined;
  if (unread !== undefined) {
    const repair = `chgrp --reference=${PATHS.logs} ${PATHS.approvals}; chmod 750 ${PATHS.approvals}`;
    return bad(`${PATHS.approvals}: ${unread}, so what needs approval is denied`, repair);
  }
  return fault === undefined
    ? good(`only root can write to ${PATHS.approvals}`)
    : bad(fault, 'agent3 install (until then, what needs approval is denied)');
}

/** Whether the audit record is whole. */
export async function auditFinding(): Promise<Found> {
  if (!existsSync(PATHS.audit)) return bad(`${PATHS.audit} is missing`, 'systemctl restart agent3');
  try {
    const found = verifyRecord(PATHS.audit, { key: installedAuditKey() });
    const { lines, notes, ofOtherKey, sealed } = found;
    const { findings } = await checkSignatures(found.signed, found.first);
    const [first, ...others] = [...found.findings, ...findings];
    const note = notes.at(-1);
    if (first === undefined && !existsSync(markPath(PATHS.audit))) {
      const what = `${markPath(PATHS.audit)} is missing: after a power loss the record would look as if somebody had changed it`;
      return bad(what, 'systemctl restart agent3; where that does not help, agent3 install');
    }
    if (first === undefined) return good(`${lines} lines, whole${note === undefined ? '' : `; ${note.what}`}`);
    if (ofOtherKey > 1) {
      const what = `${ofOtherKey} of ${sealed} sealed lines have the MAC of another key. Was AGENT3_AUDIT_KEY changed?`;
      return bad(what, 'restore the old key, or begin a new record (ops/docs/audit.md)');
    }
    const more = others.length === 0 ? '' : `; and ${others.length} more`;
    const where = `${first.file}${first.line > 0 ? `:${first.line}` : ''}`;
    return bad(`${where}: ${first.what}${more}`, 'agent3 audit verify');
  } catch (error) {
    return bad(`${PATHS.audit} cannot be read: ${describeErrno(error)}`, 'agent3 audit verify');
  }
}
