import { Type } from '@sinclair/typebox';
import { planDigest } from '../access/approval-request.ts';
import type { Approvals } from '../access/approvals.ts';
import type { Trail } from '../audit/trail.ts';
import { readAsked } from './asked.ts';
import { WireRefusal } from './channel.ts';
import type { OrderFile, PlanOrder } from './order.ts';
import { describeSender, describeSigner } from './order-rules.ts';
import type { Signature } from './passkeys.ts';
import type { WaitingPlan } from './shown.ts';

/** The plans of a hub that servers wait for. */
export interface PlansOfHub {
  plans(): WaitingPlan[];
  /** JSON of a plan and of what its canary wrote; undefined: nothing of this run waits. */
  planText(run: string): string | undefined;
  /** Calls `listener` when something of them is another than before. */
  subscribe(listener: () => void): void;
  /** Takes a decision and passes it on to the servers. Returns the reason when it is not done. */
  decide(
    run: string,
    plan: string,
    decision: {
      readonly kind: 'approve' | 'deny';
      readonly file: unknown;
      /** Called with its servers before any of them is told. */
      readonly taken: (servers: readonly string[]) => void;
    },
  ): Promise<string | undefined>;
}

const ASKED = Type.Object({
  run: Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
  from: Type.Integer({ minimum: 0 }),
});
/** Characters of a plan in one answer: at most three bytes each. */
const PART_CHARS = 262_144;

/** A part of a plan, for the console. Throws `WireRefusal`. */
export function planPart(plans: PlansOfHub | undefined, args: unknown): { text: string; next: number | null } {
  const { run, from } = readAsked(ASKED, args);
  const text = plans?.planText(run);
  if (text === undefined) throw new WireRefusal('BadRequest', 'No plan of this run waits.');
  const next = from + PART_CHARS;
  return { text: text.slice(from, next), next: next < text.length ? next : null };
}

/** Of a hub: takes a decision on a plan. `signature` is that of an approval. Returns the reason when it is not done. */
export async function decideOnPlan(
  { plans, trail }: { readonly plans?: Pick<PlansOfHub, 'decide'> | undefined; readonly trail: Pick<Trail, 'agent'> },
  file: OrderFile & { readonly order: PlanOrder },
  signature?: Signature,
): Promise<string | undefined> {
  const { id, kind, run, plan } = file.order;
  const isApproved = kind === 'approve-plan';
  if (plans === undefined) return 'this server is not a hub: it has no plans';
  const taken = (servers: readonly string[]): void =>
    trail.agent(isApproved ? 'plan approved' : 'plan denied', {
      ...{ run, plan, servers, order: id },
      by: signature === undefined ? describeSender(file) : describeSigner(signature),
      ...(signature !== undefined && { signed: signature }),
      ...('why' in file.order && file.order.why !== '' && { why: file.order.why.toWellFormed() }),
    });
  return plans.decide(run, plan, { kind: isApproved ? 'approve' : 'deny', file, taken });
}

/** Of a server: decides on the request that waits for a plan of its hub. Returns the reason when it is not done. */
export function decidePlanned(
  approvals: Pick<Approvals, 'waiting' | 'decide'>,
  order: PlanOrder,
  by: string,
  signature?: Signature,
): string | undefined {
  const waiting = approvals
    .waiting()
    .find(({ request }) => request.plan !== undefined && planDigest(request.plan) === order.plan);
  if (waiting === undefined) return 'nothing waits here for this plan';
  const { request, digest } = waiting;
  const verdict = order.kind === 'approve-plan' ? 'approve' : 'deny';
  const why = 'why' in order ? order.why : '';
  const outcome = approvals.decide({ session: request.session, digest, verdict, why, by, proof: signature });
  return outcome === 'taken' ? undefined : 'nothing waits here for this plan any more';
}
