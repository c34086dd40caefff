import type { AuthenticationResponseJSON } from '@simplewebauthn/server';
import { canonical } from '../lib/canonical.ts';

export { canonical };

/**
 * What the owner orders at the console. The page, the console, the agent and root share this file: it imports nothing that
 * a browser has not.
 */
interface OrderBase {
  /** UUID; the name of its file. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** 16 random bytes, base64url. */
  readonly nonce: string;
  /** The key of the server of the fleet that it is for; undefined: for the server that has this console. */
  readonly server?: string;
  /** The name of that server, as the person who signed was shown it: a server with another name refuses the order. */
  readonly server_name?: string;
}

export type ApproveOrder = OrderBase & { readonly kind: 'approve'; readonly session: string; readonly digest: string };
/** Approves a request, and allows what its rule asks of its token until a moment, in milliseconds since the epoch. */
export type AllowOrder = OrderBase & {
  readonly kind: 'allow';
  readonly session: string;
  readonly digest: string;
  /** Name and id of the token. */
  readonly token: string;
  readonly made: string;
  readonly profile: string;
  readonly rule: number;
  readonly rule_sha256: string;
  /** The real directory of the request: it holds for commands in this one alone. */
  readonly cwd: string;
  readonly until: number;
};
/** `allowance`: the id of the order that made it. */
export type EndAllowanceOrder = OrderBase & { readonly kind: 'end-allowance'; readonly allowance: string };
export type DenyOrder = OrderBase & {
  readonly kind: 'deny';
  readonly session: string;
  readonly digest: string;
  readonly why: string;
};
export type StopOrder = OrderBase & { readonly kind: 'stop'; readonly session: string };
export type StopAllOrder = OrderBase & { readonly kind: 'stop-all' };
export type FreezeOrder = OrderBase & { readonly kind: 'freeze'; readonly reason: string };
/**
 * `key`: with what keystrokes are signed, a raw public key on P-256, base64url. `from`: the id of the take-over of somebody
 * else that it ends; null where nobody types.
 */
export type TakeOverOrder = OrderBase & {
  readonly kind: 'take-over';
  readonly session: string;
  readonly key: string;
  readonly from: string | null;
};
export type HandBackOrder = OrderBase & { readonly kind: 'hand-back'; readonly session: string };
/**
 * `since`: that of the freeze that it ends. `again`: when somebody last froze what was frozen, as it was shown; of a server
 * of the fleet, whose clock may be another one, both have to be those of now.
 */
export type ThawOrder = OrderBase & { readonly kind: 'thaw'; readonly since: number; readonly again?: number };
/** Name of a token or a grant, and `made` of it, as the list of clients shows both. */
export type RevokeOrder = OrderBase & { readonly kind: 'revoke'; readonly token: string; readonly made: string };

/** A token: `made` is its id, 8 hex digits, and `sha256` that of its secret, which only the page knows. */
export type CreateTokenOrder = OrderBase & {
  readonly kind: 'create-token';
  readonly token: string;
  readonly made: string;
  readonly profile: string;
  /** Milliseconds since the epoch; null: no end. */
  readonly expires_at: number | null;
  readonly sha256: string;
};
export type ChangeTokenOrder = Omit<CreateTokenOrder, 'kind' | 'sha256'> & { readonly kind: 'change-token' };
/** A one-time code, with which a client of this kind may sign in; `code_sha256` as `codeHash` makes it. */
export type ConnectCodeOrder = Omit<CreateTokenOrder, 'kind' | 'sha256'> & {
  readonly kind: 'connect-code';
  readonly client: string;
  readonly code_sha256: string;
};
/** The yes to the client that has come with a code: its name, where its answers go, where it came from. */
export type KeepClientOrder = OrderBase & {
  readonly kind: 'keep-client';
  readonly token: string;
  readonly made: string;
  readonly client: string;
  readonly redirect: string;
  readonly address: string;
};
/** What changes the tokens of the server. */
export type TokenOrder = CreateTokenOrder | ChangeTokenOrder | ConnectCodeOrder | KeepClientOrder;

/**
 * Puts back what a file had before a change. `expected`: the SHA-256 of what it has, as it was shown (empty: no file);
 * `digest`: that of all that was shown, a `ShownChange`.
 */
export type UndoOrder = OrderBase & {
  readonly kind: 'undo';
  readonly change: string;
  readonly path: string;
  readonly expected: string;
  readonly digest: string;
};

/** A passkey as root has pinned it. */
export interface PinnedPasskey {
  /** Of the credential. */
  readonly id: string;
  /** COSE, base64url. */
  readonly public_key: string;
  readonly name: string;
  readonly made_at: number;
  readonly fingerprint: string;
}

/** Whose signatures count, and where they have to be made. */
export interface PasskeyList {
  readonly origin: string;
  readonly rp_id: string;
  readonly passkeys: readonly PinnedPasskey[];
}

/**
 * The passkeys of the hub's console, for all servers of the fleet: the link number `count` of a chain. `hub` is the key of
 * the hub, `previous` the `listDigest` of what the link before has.
 */
export type KeysOrder = OrderBase &
  PasskeyList & { readonly kind: 'keys'; readonly hub: string; readonly count: number; readonly previous: string };

/** Approves a run on servers of the fleet: `plan` is the digest of what each of them checks. It names no server: it is for all. */
export type ApprovePlanOrder = OrderBase & {
  readonly kind: 'approve-plan';
  readonly run: string;
  readonly plan: string;
};
export type DenyPlanOrder = OrderBase & {
  readonly kind: 'deny-plan';
  readonly run: string;
  readonly plan: string;
  readonly why: string;
};
export type PlanOrder = ApprovePlanOrder | DenyPlanOrder;

/** What the agent obeys. */
export type AgentOrder =
  | ApproveOrder
  | AllowOrder
  | EndAllowanceOrder
  | DenyOrder
  | PlanOrder
  | StopOrder
  | StopAllOrder
  | TakeOverOrder
  | HandBackOrder
  | UndoOrder;
/** What root obeys. */
export type RootOrder = FreezeOrder | ThawOrder | RevokeOrder | TokenOrder | KeysOrder;
export type Order = AgentOrder | RootOrder;
/** What counts only with the signature of a passkey. */
export type SignedOrder =
  | ApproveOrder
  | AllowOrder
  | ApprovePlanOrder
  | ThawOrder
  | TakeOverOrder
  | TokenOrder
  | UndoOrder
  | KeysOrder;

/** What a passkey has signed: one order, or several approvals at once. */
export interface Assertion extends AuthenticationResponseJSON {
  /** Of several: the `challengeOf` each. */
  readonly among?: readonly string[];
}

/** What a file of an order has. */
export interface OrderFile {
  readonly order: Order;
  /** Who is signed in, as the console says. */
  readonly by: string;
  readonly assertion?: Assertion;
}

/** What became of an order. */
export interface OrderResult {
  readonly id: string;
  readonly state: 'done' | 'refused' | 'unknown';
  readonly why?: string;
}

/** How long an order is valid after `at`. */
export const ORDER_MS = 120_000;
/** How far ahead of the server's clock `at` may be: clocks differ. */
export const AHEAD_MS = 30_000;
/** How the names of directories begin that root has moved out of its orders. */
export const REMOVED = 'removed-';

/** Whether root has given a directory its name when it moved it out of its orders. */
export function isMoved(name: string): boolean {
  return name.startsWith(REMOVED) && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name.slice(REMOVED.length));
}

export const MAX_ORDER_BYTES = 65_536;
export const MAX_WHY_CHARS = 500;
/** The longest allowance. */
export const MAX_ALLOWANCE_MS = 3_600_000;

export const TOKEN_ORDERS: readonly string[] = ['create-token', 'change-token', 'connect-code', 'keep-client'];

export function isSigned(order: Pick<Order, 'kind'>): order is SignedOrder {
  return ['approve', 'allow', 'approve-plan', 'thaw', 'take-over', 'undo', 'keys', ...TOKEN_ORDERS].includes(
    order.kind,
  );
}

export function isForRoot(order: Order): order is RootOrder {
  return ['freeze', 'thaw', 'revoke', 'keys', ...TOKEN_ORDERS].includes(order.kind);
}

/** The fields that a new order begins with. */
export function newOrder(now = Date.now()): OrderBase {
  return { id: crypto.randomUUID(), at: now, nonce: base64url(crypto.getRandomValues(new Uint8Array(16))) };
}

/** The challenge that a passkey signs for an order: the SHA-256 of all of it, base64url. */
export async function challengeOf(order: Order): Promise<string> {
  return base64url(await sha256(canonical(order)));
}

/** Most approvals with one signature: the file of each has the challenges of all. */
export const MOST_AT_ONCE = 30;

/** The challenge of several approvals that are signed at once, from the `challengeOf` each. It equals no other one. */
export async function challengeOfAll(challenges: readonly string[]): Promise<string> {
  return base64url(await sha256(`agent3 orders ${challenges.join(' ')}`));
}

/** What the next link of the chain names as `previous`: the SHA-256 of a list, in hex. */
export async function listDigest({ origin, rp_id, passkeys }: PasskeyList): Promise<string> {
  return hex(await sha256(canonical({ origin, rp_id, passkeys })));
}

/** The challenge of a sign-in with a passkey. Whatever the console sends, it never equals that of an order. */
export async function signInChallenge(given: string): Promise<string> {
  return base64url(await sha256(`agent3 sign-in ${given}`));
}

/** The challenge that a new passkey answers to a link, base64url. */
export async function linkChallenge(secret: string): Promise<string> {
  return base64url(await sha256(`agent3 link ${secret}`));
}

/** What an order has of a one-time code (letters and digits alone): 80 bits, so that nobody finds the code by it. */
export async function codeHash(code: string): Promise<string> {
  return hex(await sha256(`agent3 code ${code}`));
}

/** What people compare of a passkey: 16 hex digits of the SHA-256 of its public key (COSE), in groups of 4. */
export async function fingerprintOf(publicKey: Uint8Array): Promise<string> {
  const digits = hex(await sha256(publicKey)).slice(0, 16);
  return (digits.match(/.{4}/g) ?? []).join(' ');
}

/** The SHA-256 of a text in UTF-8, or of bytes. */
export async function sha256(data: string | Uint8Array): Promise<Uint8Array> {
  // A copy: what WebCrypto takes must not be shared memory.
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Returns the bytes of a base64url text. Throws for any other text. */
export function fromBase64url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
}
