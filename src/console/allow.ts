import type { Access } from '../access/access.ts';
import { type Allowance, type Allowances, ruleDigest } from '../access/allowances.ts';
import type { Approvals } from '../access/approvals.ts';
import type { Trail } from '../audit/trail.ts';
import type { Clock } from '../lib/clock.ts';
import { AHEAD_MS, type AllowOrder, MAX_ALLOWANCE_MS } from './order.ts';
import { describeSigner, principalOf } from './order-rules.ts';
import { isStillPinned, type Signature } from './passkeys.ts';

export interface AllowDeps {
  readonly approvals: Pick<Approvals, 'waiting' | 'decide'>;
  readonly allowances: Allowances;
  readonly access: Access;
  readonly trail: Pick<Trail, 'agent'>;
  readonly clock: Clock;
  readonly passkeysFile: string;
}

/** Approves a request and begins the allowance of a signed order. Returns the reason when it is not done. */
export function allow(deps: AllowDeps, order: AllowOrder, signature: Signature, own: number | undefined) {
  const found = allowanceOf(deps, order, signature, own);
  if (typeof found === 'string') return found;
  const by = describeSigner(signature);
  const fault = deps.allowances.faultOf(found);
  if (fault !== undefined) return fault;
  const taken = deps.approvals.decide({ ...order, verdict: 'approve', why: '', by, proof: signature });
  if (taken !== 'taken') return GONE;
  deps.allowances.add(found);
  const { id, principal, profile, rule, words, cwd, until } = found;
  const what = { allowance: id, token: principal, profile, rule, words, cwd, until: new Date(until).toISOString() };
  deps.trail.agent('allowance', { ...what, state: 'begun' });
  return undefined;
}

const GONE = 'the request does not wait any more, or is not what was shown';

/** What an order allows, where that is what the request offers; otherwise why it is not. */
function allowanceOf(
  { approvals, access, clock, passkeysFile }: AllowDeps,
  order: AllowOrder,
  signature: Signature,
  own: number | undefined,
): Allowance | string {
  const { id, nonce, at, until, session, digest, rule, rule_sha256, cwd } = order;
  const waiting = approvals.waiting().find(({ request }) => request.session === session);
  if (waiting === undefined || waiting.digest !== digest) return GONE;
  const { token: principal, profile, allowable } = waiting.request;
  if (allowable === undefined) return 'this request can only be approved once';
  if (principal !== principalOf(order)) return 'it is about another token';
  const isSame = profile === order.profile && allowable.rule === rule && allowable.rule_sha256 === rule_sha256;
  if (!isSame || ruleDigest(access.profileFor(principal), rule) !== rule_sha256)
    return 'the rule that asks is another one, or was changed';
  if (allowable.cwd !== cwd) return 'it is about another directory';
  const longest = Math.min(at, clock.now() + AHEAD_MS) + MAX_ALLOWANCE_MS;
  if (until > longest) return `it allows more than ${MAX_ALLOWANCE_MS / 60_000} minutes`;
  const isPinned = (): boolean => isStillPinned(passkeysFile, own, signature);
  const by = describeSigner(signature);
  return { id, nonce, principal, profile, rule, rule_sha256, words: allowable.words, cwd, until, by, isPinned };
}
