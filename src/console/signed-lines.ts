import { Value } from '@sinclair/typebox/value';
import type { AuditLine } from '../audit/chain.ts';
import type { AuditFinding, SignedLine } from '../audit/verify.ts';
import { visibleLine } from '../lib/visible.ts';
import { challengeOf, fingerprintOf, fromBase64url, type SignedOrder } from './order.ts';
import { describeSigner } from './order-rules.ts';
import { type Signature, signatureSchema, verifyAssertion } from './passkeys.ts';

/** How many orders each passkey has signed. */
type Signers = Readonly<Record<string, number>>;

/** Checks the signature of each line that has one: that it fits, and is of what the line says was done. */
export async function checkSignatures(
  lines: readonly SignedLine[],
): Promise<{ readonly findings: readonly AuditFinding[]; readonly signers: Signers }> {
  const findings: AuditFinding[] = [];
  const signers: Record<string, number> = {};
  for (const { file, line, record } of lines) {
    const { signed } = record;
    if (!Value.Check(signatureSchema, signed)) {
      findings.push({ file, line, what: 'its signature is none' });
      continue;
    }
    const fault = await faultOf(signed as Signature, record);
    if (fault !== undefined) findings.push({ file, line, what: fault });
    const signer = `${describeSigner(signed as Signature)} at ${(signed as Signature).origin}`;
    signers[signer] = (signers[signer] ?? 0) + 1;
  }
  return { findings, signers };
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

function isAbout(order: SignedOrder, { event, decision, session, digest, what, since }: AuditLine): boolean {
  switch (order.kind) {
    case 'approve':
      return event === 'decision' && decision === 'approved' && order.session === session && order.digest === digest;
    case 'thaw':
      return event === 'agent' && what === 'thawed' && order.since === Date.parse(String(since));
  }
}

/** A line for a reader; none where nothing is signed. */
export function describeSigners(signers: Signers): string[] {
  const all = Object.entries(signers).map(([signer, count]) => `${count} by ${visibleLine(signer)}`);
  return all.length === 0 ? [] : [`orders signed by passkeys: ${all.join(', ')}`];
}
