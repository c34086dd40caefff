import type { Trail } from '../audit/trail.ts';
import type { Logger } from '../lib/logger.ts';
import { type AllowDeps, allow } from './allow.ts';
import type {
  AllowOrder,
  ApproveOrder,
  DenyOrder,
  EndAllowanceOrder,
  Order,
  OrderFile,
  PlanOrder,
  SignedOrder,
  StopAllOrder,
  StopOrder,
} from './order.ts';
import { describeSender, describeSigner, signedAgeFault } from './order-rules.ts';
import { readPasskeys, type Signature, signatureOf } from './passkeys.ts';
import { decidePlanned } from './plan-orders.ts';
import { type StopDeps, stopCommands } from './stop.ts';

/** What an agent obeys of its own console, and as a server of a fleet of the console of its hub. */
export type SharedOrder =
  | ApproveOrder
  | AllowOrder
  | EndAllowanceOrder
  | DenyOrder
  | PlanOrder
  | StopOrder
  | StopAllOrder;

const SHARED: readonly string[] = [
  'approve',
  'allow',
  'end-allowance',
  'deny',
  'approve-plan',
  'deny-plan',
  'stop',
  'stop-all',
] satisfies readonly SharedOrder['kind'][];

export function isShared(file: OrderFile): file is FileOf<SharedOrder> {
  return SHARED.includes(file.order.kind);
}

export type FileOf<T extends Order> = OrderFile & { readonly order: T };

export interface CarryOutDeps extends AllowDeps, StopDeps {
  readonly trail: Pick<Trail, 'agent'>;
  readonly logger: Logger;
}

/** Whose orders these are. */
export interface Source {
  /** The user whose file of passkeys counts in addition to root's. */
  readonly own: number | undefined;
  /** `console` in the name of who has ordered something without a signature. */
  readonly console: string;
  /** What to do where no passkeys are pinned; undefined: as for those of the agent's own console. */
  readonly link?: string;
}

/** Obeys a valid order. Returns the reason when it is not done. Throws `ConsoleFault` when the signature is refused. */
export async function carryOut(
  deps: CarryOutDeps,
  file: FileOf<SharedOrder>,
  source: Source,
): Promise<string | undefined> {
  const { order } = file;
  if (order.kind === 'approve' || order.kind === 'allow')
    return approve(deps, order, await signatureHere(deps, { ...file, order }, source), source);
  if (order.kind === 'approve-plan') {
    const signature = await signatureHere(deps, { ...file, order }, source);
    const fault = signedAgeFault(order, deps.clock.now());
    return fault ?? decidePlanned(deps.approvals, order, describeSigner(signature), signature);
  }
  const by = describeSender(file, source.console);
  if (order.kind === 'deny-plan') return decidePlanned(deps.approvals, order, by);
  if (order.kind === 'end-allowance')
    return deps.allowances.end(order.allowance, `ended by ${by}`) ? undefined : 'it is over already';
  if (order.kind === 'deny') return describeDecision(deps.approvals.decide({ ...order, verdict: 'deny', by }));
  return stopCommands(deps, order, by);
}

function approve(deps: CarryOutDeps, order: ApproveOrder | AllowOrder, signature: Signature, source: Source) {
  if (order.kind === 'allow') return allow(deps, order, signature, source.own);
  const by = describeSigner(signature);
  return describeDecision(deps.approvals.decide({ ...order, verdict: 'approve', why: '', by, proof: signature }));
}

/** The signature of an order by a passkey that counts now. Throws `ConsoleFault`. */
export function signatureHere(
  { passkeysFile }: Pick<AllowDeps, 'passkeysFile'>,
  { order, assertion }: FileOf<SignedOrder>,
  { own, link }: Pick<Source, 'own' | 'link'>,
): Promise<Signature> {
  return signatureOf(order, assertion, readPasskeys(passkeysFile, own), link);
}

function describeDecision(decision: 'taken' | 'gone' | 'other'): string | undefined {
  switch (decision) {
    case 'taken':
      return undefined;
    case 'gone':
      return 'it does not wait any more';
    case 'other':
      return 'what waits is not what was shown';
  }
}

/** Puts on record that an order is not obeyed; `file` is undefined for a file that is not an order. */
export function noteRefusal(
  { logger, trail }: Pick<CarryOutDeps, 'logger' | 'trail'>,
  id: string,
  file: OrderFile | undefined,
  why: string,
  console?: string,
): void {
  const what = file === undefined ? {} : { kind: file.order.kind, by: describeSender(file, console) };
  logger.warn({ order: id, ...what, why }, 'an order of the console is refused');
  trail.agent('order', { ...what, order: id, refused: why.toWellFormed() });
}
