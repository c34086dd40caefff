import { startAuthentication, startRegistration } from '@simplewebauthn/browser';
import {
  type Assertion,
  base64url,
  canonical,
  challengeOf,
  challengeOfAll,
  fingerprintOf,
  fromBase64url,
  hex,
  isSigned,
  linkChallenge,
  MOST_AT_ONCE,
  newOrder,
  type Order,
  type OrderResult,
  sha256,
  signInChallenge,
} from '../order.ts';
import type { Hello, Person } from '../shown.ts';
import { describeFailure, keepBearer, post } from './api.ts';
import { words } from './words.ts';

type WithoutBase<One> = One extends Order ? Omit<One, 'id' | 'at' | 'nonce'> : never;
/** What is ordered, without what every order begins with. */
export type Wish = WithoutBase<Order>;

const ASSERTION_MS = 100_000;
/** WebAuthn's names of Ed25519, ES256 and RS256. */
const ALGORITHMS = [-8, -7, -257] as const;

/** Whether the person or the device said no to a passkey. */
export function isCancelled(error: unknown): boolean {
  return error instanceof Error && ['NotAllowedError', 'AbortError'].includes(error.name);
}

/** The site of the page, which its passkeys belong to: a console that was taken over could name another one. */
declare const location: { readonly hostname: string };

/** Throws where the console names another site than that of the page. */
async function hello(): Promise<Hello> {
  const answer = await post<Hello>('hello');
  if (answer.rp_id !== location.hostname) throw new Error(words.result.otherSite(answer.rp_id, location.hostname));
  return answer;
}

/** A console that was taken over can date an order so far from the clock of this device, and no farther. */
export const MOST_APART_MS = 90_000;

/** A URL that the console names for clients, and whether it is at the page's own host. */
export interface ClientUrl {
  readonly url: URL;
  readonly isOwn: boolean;
}

/**
 * What the page at `page` knows of a URL that the console names. Undefined for one where nobody may enter a code: it is the
 * console's own, or neither HTTPS nor on this machine. At the page's host, another origin is not the console's to serve.
 */
export function judgeUrl(named: string, page: string): ClientUrl | undefined {
  if (!URL.canParse(named)) return undefined;
  const [url, own] = [new URL(named), new URL(page)];
  const isSafe = url.protocol === 'https:';
  const isLocal = url.protocol === 'http:' && /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (!(isSafe || isLocal) || url.origin === own.origin || url.username !== '' || url.password !== '') return undefined;
  return { url, isOwn: isSafe && url.hostname === own.hostname };
}

function assertion(challenge: string) {
  return startAuthentication({
    optionsJSON: { challenge, rpId: location.hostname, userVerification: 'required', timeout: ASSERTION_MS },
  });
}

/** Signs in with a passkey. Throws; see `isCancelled`. */
export async function signIn(): Promise<void> {
  const { challenge } = await hello();
  // Not the console's own bytes: a console that was taken over could have an order signed.
  const signed = await assertion(await signInChallenge(challenge));
  const { bearer } = await post<{ bearer: string }>('sign-in', { challenge, assertion: signed });
  keepBearer(bearer);
}

function isApart(now: number): boolean {
  return Math.abs(now - Date.now()) > MOST_APART_MS;
}

/**
 * Sends an order, signed by a passkey where it widens what may happen. Undefined when it was done, otherwise why not, for a
 * person. `known` is the time of the server, as the console said when the page asked last: it is asked again where that is
 * far from the clock of this device, as after a sleep. Where it stays far, nothing is signed. `id` is the id of the order.
 */
export async function order(wish: Wish, known: number, id?: string): Promise<string | undefined> {
  try {
    const now = isSigned(wish) && isApart(known) ? (await hello()).now : known;
    const whole = { ...newOrder(now), ...wish, ...(id !== undefined && { id }) } as Order;
    if (isSigned(whole) && isApart(now)) return words.result.clocks(now);
    return await leave(whole, isSigned(whole) ? await assertion(await challengeOf(whole)) : undefined);
  } catch (error) {
    return describeFault(error);
  }
}

/** What approves a request that waits. */
export type ApproveWish = Extract<Wish, { readonly kind: 'approve' }>;

/**
 * Approves several requests with one signature for up to `MOST_AT_ONCE`. Returns for each, in order, what `order` returns.
 * `clock` is the time of the server: before the second prompt it is asked again.
 */
export async function approveAll(
  wishes: readonly ApproveWish[],
  clock: () => number,
): Promise<readonly (string | undefined)[]> {
  const faults: (string | undefined)[] = [];
  try {
    while (faults.length < wishes.length)
      faults.push(...(await approveSome(wishes.slice(faults.length, faults.length + MOST_AT_ONCE), clock())));
    return faults;
  } catch (error) {
    // After a prompt that was cancelled, no other one comes.
    const fault = describeFault(error);
    return wishes.map((_, at) => (at < faults.length ? faults[at] : fault));
  }
}

/** Rejects where nothing was signed. */
async function approveSome(wishes: readonly ApproveWish[], known: number): Promise<(string | undefined)[]> {
  const [only] = wishes;
  if (only !== undefined && wishes.length === 1) return [await order(only, known)];
  const now = isApart(known) ? (await hello()).now : known;
  if (isApart(now)) return wishes.map(() => words.result.clocks(now));
  const orders = wishes.map((wish) => ({ ...newOrder(now), ...wish }));
  const among = await Promise.all(orders.map(challengeOf));
  const signed = { ...(await assertion(await challengeOfAll(among))), among };
  return sendEach(orders, (one) => leave(one, signed).catch(describeFault));
}

/** A browser takes 64 KiB at once of what it sends on when the page is gone, as it does with orders. */
const ORDERS_AT_ONCE = 12;

/** Calls `send` with each, some at a time. Returns what it resolves to, in order. */
export async function sendEach<One, Result>(
  all: readonly One[],
  send: (one: One) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const queue = [...all.entries()];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await send(next[1]);
  };
  await Promise.all(Array.from({ length: ORDERS_AT_ONCE }, work));
  return results;
}

/** Leaves an order at the console. Returns why it was not done. Rejects where the console is not reached. */
async function leave(whole: Order, signed?: Assertion): Promise<string | undefined> {
  const { state, why = '' } = await post<OrderResult>('order', { order: whole, ...(signed && { assertion: signed }) });
  if (state === 'done') return undefined;
  return state === 'refused' ? words.result.refused(why) : words.result.unknown;
}

function describeFault(error: unknown): string {
  return isCancelled(error) ? words.request.cancelled : describeFailure(error);
}

/** The id and the secret of a link's fragment; undefined when it is not a complete link. */
export interface LinkSecret {
  readonly id: string;
  readonly secret: string;
}

/** The state of a link; `name` is the one that was set at root's terminal. */
export interface LinkState {
  readonly state: 'open' | 'pinned' | 'refused' | 'over';
  readonly why?: string;
  readonly name?: string;
}

/** Looks at a link without an answer to it. */
export function lookAtLink({ id }: LinkSecret): Promise<LinkState> {
  return post('link', { link: id });
}

/** What the page shows while root's terminal decides on a link. */
export interface Linking {
  readonly name: string;
  readonly fingerprint: string | undefined;
  /** Asks the console what became of it. */
  readonly ask: () => Promise<LinkState>;
  /** Of a session without a passkey. */
  readonly bearer: string | undefined;
}

/** Makes a passkey for a link. Throws; see `isCancelled`. */
export async function makePasskey({ id, secret }: LinkSecret, name: string): Promise<Linking> {
  await hello();
  const registration = await startRegistration({
    optionsJSON: {
      challenge: await linkChallenge(secret),
      rp: { id: location.hostname, name: words.brand },
      user: { id: base64url(crypto.getRandomValues(new Uint8Array(16))), name, displayName: name },
      pubKeyCredParams: ALGORITHMS.map((alg) => ({ alg, type: 'public-key' as const })),
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      attestation: 'none',
    },
  });
  const data = registration.response.authenticatorData;
  const fingerprint = data === undefined ? undefined : await fingerprintOf(publicKeyOf(fromBase64url(data)));
  return { name, fingerprint, bearer: undefined, ask: await asker(secret, { link: id, name, registration }) };
}

/** Asks for a session without a passkey. */
export async function askForSession({ id, secret }: LinkSecret, name: string): Promise<Linking> {
  const bearer = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const bearer_sha256 = hex(await sha256(bearer));
  return { name, fingerprint: undefined, bearer, ask: await asker(secret, { link: id, name, bearer_sha256 }) };
}

async function asker(secret: string, body: Readonly<Record<string, unknown>>): Promise<Linking['ask']> {
  const utf8 = new TextEncoder();
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', utf8.encode(secret), algorithm, false, ['sign']);
  const mac = base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8.encode(canonical(body)))));
  return () => post('link', { ...body, mac });
}

export function whoAmI(): Promise<Person> {
  return post<Person>('me');
}

/** Of the data that an authenticator signs: hash of the RP id, flags, counter, AAGUID, length of the credential's id. */
const LENGTH_AT = 32 + 1 + 4 + 16;

/** The COSE key in an authenticator's data; extensions may come behind it. */
function publicKeyOf(data: Uint8Array): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const start = LENGTH_AT + 2 + view.getUint16(LENGTH_AT);
  return data.slice(start, endOfItem(view, start));
}

/** Where an item of CBOR ends: a number, a string, a list or a map, which is all that a key has. */
function endOfItem(view: DataView, start: number): number {
  const first = view.getUint8(start);
  const short = first & 31;
  const [count, next] =
    short < 24
      ? [short, start + 1]
      : short === 24
        ? [view.getUint8(start + 1), start + 2]
        : short === 25
          ? [view.getUint16(start + 1), start + 3]
          : [view.getUint32(start + 1), start + 5];
  const major = first >> 5;
  if (major < 2 || major > 5) return next;
  if (major < 4) return next + count;
  let end = next;
  for (let items = major === 4 ? count : 2 * count; items > 0; items--) end = endOfItem(view, end);
  return end;
}
