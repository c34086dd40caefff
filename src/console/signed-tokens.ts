import { Value } from '@sinclair/typebox/value';
import type { TokenRecord } from '../access/token-file.ts';
import type { Trail } from '../audit/trail.ts';
import { TOKEN_ORDERS } from './order.ts';
import { describeSigner } from './order-rules.ts';
import { type Signature, signatureSchema } from './passkeys.ts';

/** The order of a token from before the start of the agent is put on record when it is at most this old. */
const LATE_MS = 600_000;

/** The signed orders that made a token what it is. */
export function signaturesOf({ signed = {} }: Pick<TokenRecord, 'signed'>): Signature[] {
  return Object.values(signed).filter((one): one is Signature => Value.Check(signatureSchema, one));
}

/** Who has made a token at the console; undefined for one of root's terminal. */
export function makerOf(token: Pick<TokenRecord, 'signed'>): string | undefined {
  const made = signaturesOf(token).find(({ order }) => order.kind === 'create-token' || order.kind === 'connect-code');
  return made && describeSigner(made);
}

/** Whether a token came into force by a passkey: it ends with that. */
export function isBy(token: Pick<TokenRecord, 'signed'>, passkeys: ReadonlySet<string>): boolean {
  return signaturesOf(token).some(({ order, passkey }) => order.kind !== 'change-token' && passkeys.has(passkey.id));
}

/** Puts the signed orders on record that root has obeyed about tokens, as their file shows them. */
export class SignedTokens {
  readonly #seen = new Set<string>();
  #isFirst = true;

  constructor(
    private readonly trail: Pick<Trail, 'agent'>,
    private readonly now: () => number,
  ) {}

  look(tokens: readonly TokenRecord[]): void {
    for (const token of tokens) for (const signature of signaturesOf(token)) this.#note(token, signature);
    this.#isFirst = false;
  }

  #note({ name, id, profile, expires_at }: TokenRecord, signature: Signature): void {
    const { order } = signature;
    if (this.#seen.has(order.id)) return;
    this.#seen.add(order.id);
    if (this.#isFirst && order.at < this.now() - LATE_MS) return;
    this.trail.agent('token order', {
      order: order.id,
      kind: order.kind,
      token: `${name}#${id}`,
      profile: 'profile' in order ? order.profile : profile,
      until: 'expires_at' in order ? order.expires_at : expires_at,
      by: describeSigner(signature),
      signed: signature,
    });
  }
}

/** Whether a line of the record is about what a signed order did with a token. */
export function isAboutToken(
  order: Signature['order'],
  { what, kind, token, profile, until }: Readonly<Record<string, unknown>>,
): boolean {
  if (!TOKEN_ORDERS.includes(order.kind) || !('made' in order)) return false;
  const isSame = what === 'token order' && kind === order.kind && token === `${order.token}#${order.made}`;
  return isSame && (!('expires_at' in order) || (order.profile === profile && order.expires_at === until));
}
