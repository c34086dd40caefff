import { Value } from '@sinclair/typebox/value';
import { planDigest, signedPlanSchema } from '../access/approval-request.ts';
import { namesServer } from '../access/plan.ts';
import { type AuditLine, endsAllowances, namesOwnKey } from '../audit/chain.ts';
import type { AuditFinding, SignedLine } from '../audit/verify.ts';
import { visibleLine } from '../lib/visible.ts';
import {
  AHEAD_MS,
  type AllowOrder,
  type ApprovePlanOrder,
  fingerprintOf,
  fromBase64url,
  type KeysOrder,
  MAX_ALLOWANCE_MS,
  type SignedOrder,
  TOKEN_ORDERS,
} from './order.ts';
import { describeSigner, principalOf } from './order-rules.ts';
import { challengeFor, type Signature, signatureSchema, verifyAssertion } from './passkeys.ts';
import { isAboutToken } from './signed-tokens.ts';

/** How many orders each passkey has signed. */
type Signers = Readonly<Record<string, number>>;

/**
 * Checks the signature of each line that has one: that it fits, and is of what the line says was done; and what ran by an
 * allowance, or was typed in a take-over. `first` is the first line of the record.
 */
export async function checkSignatures(
  lines: readonly SignedLine[],
  first?: AuditLine,
): Promise<{ readonly findings: readonly AuditFinding[]; readonly signers: Signers }> {
  const findings: AuditFinding[] = [];
  const signers: Record<string, number> = {};
  const seen = new Set<string>();
  const allowed = new Allowed();
  const typing = new Typing();
  const isCut = first !== undefined && first.seq > 1;
  let server = first === undefined || isCut ? UNKNOWN : undefined;
  for (const { file, line, record } of lines) {
    const { signed } = record;
    if (namesOwnKey(record)) {
      server = String(record['server']);
      continue;
    }
    if (endsAllowances(record) && signed === undefined) {
      allowed.end(record);
      continue;
    }
    if (record.event === 'start') {
      const fault = allowed.faultOf(record);
      if (mayBeBefore(first, record) && fault === UNSIGNED) continue;
      if (fault !== undefined) findings.push({ file, line, what: fault });
      continue;
    }
    if (isOfTyping(record) && signed === undefined) {
      const fault = typing.faultOf(record);
      if (fault !== undefined && !(fault === NOT_TAKEN && isCut)) findings.push({ file, line, what: fault });
      continue;
    }
    if (!Value.Check(signatureSchema, signed)) {
      findings.push({ file, line, what: 'its signature is damaged' });
      continue;
    }
    const fault = await faultOf(signed as Signature, record);
    if (fault !== undefined) findings.push({ file, line, what: fault });
    const { order } = signed as Signature;
    // Of an older file that is gone, nobody knows the key any more.
    if (order.server !== undefined && server !== UNKNOWN && order.server !== server && !isPassedOn(record))
      findings.push({ file, line, what: 'its signature is for another server' });
    if (seen.has(order.id) && !mayComeAgain(order)) findings.push({ file, line, what: TWICE });
    seen.add(order.id);
    if (order.kind === 'allow') allowed.add(order);
    if (order.kind === 'take-over') typing.begin(order.id, record);
    const signer = `${describeSigner(signed as Signature)} at ${(signed as Signature).origin}`;
    signers[signer] = (signers[signer] ?? 0) + 1;
  }
  return { findings, signers };
}

/** The key of this server, where the line that names it may be in a file that is not kept any more. */
const UNKNOWN = 'unknown';

const TWICE = 'its signed order is on record before: an order counts once';

/** An agent that was started again may note these again. */
function mayComeAgain({ kind }: SignedOrder): boolean {
  return kind === 'thaw' || kind === 'keys' || TOKEN_ORDERS.includes(kind);
}

const UNSIGNED = 'nobody has signed the allowance that it ran by';

/** Whether the allowance of a line may have begun in a file that is not kept any more. */
function mayBeBefore(first: AuditLine | undefined, { time }: AuditLine): boolean {
  return first !== undefined && first.seq > 1 && Date.parse(time) - Date.parse(first.time) < MAX_ALLOWANCE_MS;
}

/** The allowances that a record has so far. */
class Allowed {
  readonly #orders = new Map<string, AllowOrder>();
  readonly #ended = new Set<string>();

  add(order: AllowOrder): void {
    this.#orders.set(order.id, order);
  }

  /** A start of the agent ends all of them. */
  end({ what, allowance }: AuditLine): void {
    for (const id of what === 'started' ? this.#orders.keys() : [String(allowance)]) this.#ended.add(id);
  }

  /** Why what a command ran by was not signed for its token, profile, rule, directory and time. */
  faultOf(record: AuditLine): string | undefined {
    const { allowance } = record;
    const ids = (Array.isArray(allowance) ? allowance : [allowance]).map(String);
    const orders = ids.flatMap((id) => this.#orders.get(id) ?? []);
    if (ids.some((id) => this.#ended.has(id))) return 'the allowance that it ran by had ended';
    if (orders.length === 0 || orders.length < ids.length) return UNSIGNED;
    // Of several, the line has the rule of one.
    if (orders.every(({ rule }) => rule !== record['rule'])) return 'the allowance that it ran by is of another rule';
    return orders.map((order) => faultOfUse(order, record)).find((fault) => fault !== undefined);
  }
}

const NOT_TAKEN = 'nobody has signed the take-over that it names';

/** Whether a line is about what a person typed in a take-over, whose signature is in the line of its beginning. */
function isOfTyping({ event, what }: AuditLine): boolean {
  return event === 'agent' && (what === 'typed' || what === 'handed back');
}

/** The take-overs that a record has so far, by their orders: the line of their beginning, or that they have ended. */
class Typing {
  readonly #begun = new Map<string, AuditLine | 'ended'>();

  begin(order: string, record: AuditLine): void {
    this.#begun.set(order, record);
  }

  /** Why a line is not of a take-over that its person signed for its session. */
  faultOf(record: AuditLine): string | undefined {
    const order = String(record['order']);
    const begun = this.#begun.get(order);
    if (begun === undefined) return NOT_TAKEN;
    if (begun === 'ended') return 'the take-over that it names had ended';
    if (begun['by'] !== record['by'] || begun['session'] !== record['session'])
      return 'the take-over that it names is another one';
    if (record['what'] === 'handed back') this.#begun.set(order, 'ended');
    return undefined;
  }
}

function faultOfUse(order: AllowOrder, record: AuditLine): string | undefined {
  const time = Date.parse(String(record.time));
  if (!isOf(order, record)) return 'the allowance that it ran by is of another token';
  if (order.cwd !== record['cwd']) return 'the allowance that it ran by is of another directory';
  if (time < order.at - AHEAD_MS) return 'it ran before the allowance that it names was signed';
  return time <= order.until ? undefined : 'the allowance that it ran by was over';
}

async function faultOf(signature: Signature, record: AuditLine) {
  const { order, assertion, passkey, origin, rp_id } = signature;
  if (!isAbout(order, record)) return 'its signature is for something else';
  if (record['by'] !== describeSigner(signature)) return 'its signature is by somebody else';
  try {
    if ((await fingerprintOf(fromBase64url(passkey.public_key))) !== passkey.fingerprint)
      return 'the fingerprint of its passkey is of another one';
    await verifyAssertion(assertion, passkey, {
      challenge: await challengeFor(order, assertion),
      origin,
      rp_id,
    });
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
  if (isPassedOn(line))
    return order.kind === line['kind'] && order.id === line['order'] && isFor(order, line['server']);
  switch (order.kind) {
    case 'approve':
      return event === 'decision' && decision === 'approved' && order.session === session && order.digest === digest;
    case 'allow':
      return isAbout({ ...order, kind: 'approve' }, line) && isOf(order, line);
    case 'approve-plan':
      return event === 'decision'
        ? decision === 'approved' && isPlanned(order, line)
        : event === 'agent' && what === 'plan approved' && order.run === line['run'] && order.plan === line['plan'];
    case 'take-over':
      return event === 'agent' && what === 'taken over' && order.session === session;
    case 'create-token':
    case 'change-token':
    case 'connect-code':
    case 'keep-client':
      return event === 'agent' && isAboutToken(order, line);
    case 'keys':
      return (
        event === 'agent' && what === 'passkeys of the hub' && order.count === line['count'] && hasList(order, line)
      );
    case 'undo':
      return (
        line['op'] === 'undo' &&
        order.change === line['undoes'] &&
        order.expected === (line['before_sha256'] ?? '') &&
        isMasked(order.path, line['path'])
      );
    case 'thaw':
      return event === 'agent' && what === 'thawed' && order.since === Date.parse(String(since));
  }
}

/** Whether a line of a hub is about an order that was passed on to a server. */
function isPassedOn({ event, what, passed_on }: AuditLine): boolean {
  return event === 'agent' && what === 'order' && passed_on !== undefined;
}

/** Whether an order is for the server of a line, which has its name and 8 letters of its key, or its key where it is gone. */
function isFor({ server = '' }: SignedOrder, named: unknown): boolean {
  return named === server || String(named).endsWith(`@${server.slice(2, 10).toLowerCase()}`);
}

/** Whether the passkeys of a line are those that were signed. */
function hasList(order: KeysOrder, { passkeys }: AuditLine): boolean {
  return Array.isArray(passkeys) && passkeys.join() === order.passkeys.map(({ fingerprint }) => fingerprint).join();
}

/** Whether a plan is the one that was signed, and its command, token and server are those of a line. */
function isPlanned({ run, plan: digest }: ApprovePlanOrder, { plan, server, token, cmd_sha256 }: AuditLine): boolean {
  return (
    Value.Check(signedPlanSchema, plan) &&
    planDigest(plan) === digest &&
    plan.run === run &&
    plan.cmd_sha256 === cmd_sha256 &&
    `hub/${plan.principal}` === token &&
    namesServer(plan, server)
  );
}

/** Whether a text of the record begins and ends as another one. What is between its first and last mask is unknown. */
function isMasked(text: string, onRecord: unknown): boolean {
  if (typeof onRecord !== 'string') return false;
  if (onRecord === text) return true;
  const [start = '', ...parts] = onRecord.split(/‹[^‹›]*›/);
  const end = parts.at(-1);
  return end !== undefined && text.length >= start.length + end.length && text.startsWith(start) && text.endsWith(end);
}

/** A line for a reader; none where nothing is signed. */
export function describeSigners(signers: Signers): string[] {
  const all = Object.entries(signers).map(([signer, count]) => `${count} by ${visibleLine(signer)}`);
  return all.length === 0 ? [] : [`orders signed by passkeys: ${all.join(', ')}`];
}
