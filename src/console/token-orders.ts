import { CLIENT_KINDS, type ClientKind } from '../access/client-kinds.ts';
import { type GrantKey, type GrantRecord, isGrant, isKept, keepGrant, makeChosenGrant } from '../access/grant.ts';
import type { TokenRecord } from '../access/token-file.ts';
import type { ChangeTokenOrder, ConnectCodeOrder, CreateTokenOrder, KeepClientOrder, TokenOrder } from './order.ts';
import type { Signature } from './passkeys.ts';

/** A client that has come with a one-time code. */
export interface Arrival {
  readonly client: string;
  readonly redirect: string;
  readonly address: string;
}

export interface TokenOrderDeps {
  /** `AGENT3_GRANT_KEY`; undefined: clients cannot sign in. */
  readonly key: GrantKey | undefined;
  /** Why a token cannot have a name or a profile; undefined where it can. */
  readonly nameFault: (name: string) => string | undefined;
  readonly profileFault: (name: string) => string | undefined;
  /** The client that has used the code of a grant; undefined: not used yet. */
  readonly arrivalOf: (grant: GrantRecord) => Arrival | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Tokens that there may be: a page that was taken over cannot fill the disk with them. */
const MOST_TOKENS = 1000;

/** Returns the tokens as a signed order makes them; the token that it changes has the order. Throws with the reason. */
export function obeyTokenOrder(
  tokens: readonly TokenRecord[],
  order: TokenOrder,
  signature: Signature,
  deps: TokenOrderDeps,
): TokenRecord[] {
  switch (order.kind) {
    case 'create-token':
      return [...tokens, signed(create(tokens, order, deps), order, signature)];
    case 'connect-code':
      return [...tokens, signed(makeCode(tokens, order, deps), order, signature)];
    case 'change-token':
      return replace(tokens, order, (token) => signed(change(token, order, deps), order, signature));
    case 'keep-client':
      return replace(tokens, order, (token) => signed(keep(token, order, deps), order, signature));
  }
}

function signed(token: TokenRecord, { kind }: TokenOrder, signature: Signature): TokenRecord {
  return { ...token, signed: { ...token.signed, [kind]: signature } };
}

function create(tokens: readonly TokenRecord[], order: CreateTokenOrder, deps: TokenOrderDeps): TokenRecord {
  requireNew(tokens, order, deps);
  const { token: name, made: id, profile, sha256, expires_at } = order;
  const isKnown = tokens.some(
    (one) => one.sha256 === sha256 || one.previous?.some((before) => before.sha256 === sha256),
  );
  if (isKnown) throw new Error('another token has this secret');
  return { name, id, profile, sha256, created_at: deps.now, expires_at, ips: [] };
}

function makeCode(tokens: readonly TokenRecord[], order: ConnectCodeOrder, deps: TokenOrderDeps): GrantRecord {
  requireNew(tokens, order, deps);
  if (deps.key === undefined)
    throw new Error('clients cannot sign in to this server: agent3 connect says what it needs');
  const { token: name, made: id, profile, expires_at: expiresAt, client, code_sha256: codeSha256 } = order;
  const kind = CLIENT_KINDS.find((one) => one === client);
  if (kind === undefined) throw new Error('there is no such kind of client');
  const wanted: { name: string; profile: string; client: ClientKind; expiresAt: number | null } = {
    ...{ name, profile, client: kind, expiresAt },
  };
  return makeChosenGrant(deps.key, { ...wanted, isKept: false, id, codeSha256 }, deps.now);
}

function change(token: TokenRecord, order: ChangeTokenOrder, deps: TokenOrderDeps): TokenRecord {
  if (isGrant(token)) throw new Error('a sign-in cannot be changed: revoke it, and connect the client again');
  requireScope(order, deps);
  return { ...token, profile: order.profile, expires_at: order.expires_at };
}

function keep(token: TokenRecord, { client, redirect, address }: KeepClientOrder, deps: TokenOrderDeps): GrantRecord {
  if (!isGrant(token) || deps.key === undefined) throw new Error('it is not a sign-in');
  if (isKept(deps.key, token)) throw new Error('its client is kept already');
  const arrival = deps.arrivalOf(token);
  const isSame = arrival?.client === client && arrival.redirect === redirect && arrival.address === address;
  if (!isSame) throw new Error('the client that has come is not the one that was shown');
  return keepGrant(deps.key, token);
}

function requireNew(
  tokens: readonly TokenRecord[],
  order: CreateTokenOrder | ConnectCodeOrder,
  deps: TokenOrderDeps,
): void {
  const { token: name, made } = order;
  const fault = deps.nameFault(name);
  if (fault !== undefined) throw new Error(fault);
  if (tokens.some((one) => one.name === name)) throw new Error(`the token ${name} exists already; choose another name`);
  if (tokens.some(({ id }) => id === made)) throw new Error('another token has this id: order it again');
  if (tokens.length >= MOST_TOKENS) throw new Error(`there are ${MOST_TOKENS} tokens already`);
  requireScope(order, deps);
}

function requireScope(
  { profile, expires_at }: Pick<CreateTokenOrder, 'profile' | 'expires_at'>,
  { profileFault, now }: TokenOrderDeps,
): void {
  const fault = profileFault(profile);
  if (fault !== undefined) throw new Error(fault);
  if (expires_at !== null && expires_at <= now) throw new Error('its end is in the past');
}

/** The tokens with another one in the place of the one that an order names. */
function replace(
  tokens: readonly TokenRecord[],
  { token: name, made }: TokenOrder,
  by: (token: TokenRecord) => TokenRecord,
): TokenRecord[] {
  const found = tokens.find((one) => one.name === name && one.id === made);
  if (found === undefined) throw new Error('this token is gone, or was replaced');
  return tokens.map((one) => (one === found ? by(found) : one));
}
