import { Value } from '@sinclair/typebox/value';
import type { AuditLine } from '../audit/chain.ts';
import type { AuditFinding, SignedLine } from '../audit/verify.ts';
import { visibleLine } from '../lib/visible.ts';
import {
  type AllowOrder,
  challengeOf,
  fingerprintOf,
  fromBase64url,
  MAX_ALLOWANCE_MS,
  type SignedOrder,
} from './order.ts';
import { describeSigner, principalOf } from './order-rules.ts';
import { type Signature, signatureSchema, verifyAssertion } from './passkeys.ts';
import { isAboutToken } from './signed-tokens.ts';

/** How many orders each passkey has signed. */
type Signers = Readonly<Record<string, number>>;

/**
 * Checks the signature of each line that has one: that it fits, and is of what the line says was done; and what ran by an
 * allowance. `first` is the first line of the record.
 */
export async function checkSignatures(
  lines: readonly SignedLine[],
  first?: AuditLine,
): Promise<{ readonly findings: readonly AuditFinding[]; readonly signers: Signers }> {
  const findings: AuditFinding[] = [];
  const signers: Record<string, number> = {};
  const allowed = new Map<string, AllowOrder>();
  for (const { file, line, record } of lines) {
    const { signed } = record;
    if (record.event === 'start') {
      const fault = faultOfUse(record, allowed);
      if (mayBeBefore(first, record) && fault === UNSIGNED) continue;
      if (fault !== undefined) findings.push({ file, line, what: fault });
      continue;
    }
    if (!Value.Check(signatureSchema, signed)) {
      findings.push({ file, line, what: 'its signature is none' });
      continue;
    }
    const fault = await faultOf(signed as Signature, record);
    if (fault !== undefined) findings.push({ file, line, what: fault });
    const { order } = signed as Signature;
    if (order.kind === 'allow') allowed.set(order.id, order);
    const signer = `${describeSigner(signed as Signature)} at ${(signed as Signature).origin}`;
    signers[signer] = (signers[signer] ?? 0) + 1;
  }
  return { findings, signers };
}

const UNSIGNED = 'nobody has signed the allowance that it ran by';

/** Whether the allowance of a line may have begun in a file that is not kept any more. */
function mayBeBefore(first: AuditLine | undefined, { time }: AuditLine): boolean {
  return first !== undefined && first.seq > 1 && Date.parse(time) - Date.parse(first.time) < MAX_ALLOWANCE_MS;
}

/** Whether what a command ran by was signed for its token, its profile and its time. */
function faultOfUse(record: AuditLine, allowed: ReadonlyMap<string, AllowOrder>) {
  const { allowance, time } = record;
  for (const id of Array.isArray(allowance) ? allowance : [allowance]) {
    const order = allowed.get(String(id));
    if (order === undefined) return UNSIGNED;
    if (!isOf(order, record)) return 'the allowance that it ran by is of another token';
    if (Date.parse(String(time)) > order.until) return 'the allowance that it ran by was over';
  }
  return undefined;
}

async function faultOf(signature: Signature, record: AuditLine) {
  const { order, assertion, passkey, origin, rp_id } = signature;
  if (!isAbout(order, record)) return 'its signature is of something else';
  if (record['by'] !== describeSigner(signature)) return 'its signature is by somebody else';
  try {
    if ((await fingerprintOf(fromBase64url(passkey.public_key))) !== passkey.fingerprint)
      return 'the fingerprint of its passkey is of another one';
    await verifyAssertion(assertion, passkey, { challenge: await challengeOf(order), origin, rp_id });
    return undefined;
  } catch (error) {
    return `the signature of a passkey does not fit: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Whether an allowance is of the token and the profile of a line. */
function isOf(order: AllowOrder, { token, profile }: AuditLine): boolean {
  return principalOf(order) === token && order.profile === profile;
}

function isAbout(order: SignedOrder, line: AuditLine): boolean {
  const { event, decision, session, digest, what, since } = line;
  switch (order.kind) {
    case 'approve':
      return event === 'decision' && decision === 'approved' && order.session === session && order.digest === digest;
    case 'allow':
      return isAbout({ ...order, kind: 'approve' }, line) && isOf(order, line);
    case 'take-over':
      return event === 'agent' && what === 'taken over' && order.session === session;
    case 'create-token':
    case 'change-token':
    case 'connect-code':
    case 'keep-client':
      return event === 'agent' && isAboutToken(order, line);
    case 'undo':
      return (
        line['op'] === 'undo' && order.change === line['undoes'] && order.expected === (line['before_sha256'] ?? '')
      );
    case 'thaw':
      return event === 'agent' && what === 'thawed' && order.since === Date.parse(String(since));
  }
}

/** A line for a reader; none where nothing is signed. */
export function describeSigners(signers: Signers): string[] {
  const all = Object.entries(signers).map(([signer, count]) => `${count} by ${visibleLine(signer)}`);
  return all.length === 0 ? [] : [`orders signed by passkeys: ${all.join(', ')}`];
}
