import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { ClientKind } from './client-kinds.ts';
import type { GrantNote, TokenRecord } from './token-file.ts';

/** A grant, as root wrote it: what a client gets by signing in. */
export type GrantRecord = TokenRecord & { readonly grant: GrantNote };

/** The key that seals grants, `AGENT3_GRANT_KEY`. A program with this key can make grants. */
export class GrantKey {
  constructor(private readonly secret: string) {}

  /** Returns the HMAC-SHA256 of `parts` for one `purpose`, as 43 characters of Base64url. */
  mac(purpose: string, ...parts: readonly unknown[]): string {
    return new Bun.CryptoHasher('sha256', this.secret).update(JSON.stringify([purpose, ...parts])).digest('base64url');
  }

  /** Checks in constant time whether `mac` is that of `parts`. */
  checks(mac: string, purpose: string, ...parts: readonly unknown[]): boolean {
    const expected = Buffer.from(this.mac(purpose, ...parts));
    const given = Buffer.from(mac);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}

/** How long a one-time code can be used. */
const CODE_SECONDS = 600;

const CODE_CHARS = 10;
/** The alphabet of RFC 4648, without 0 and 1, which look like letters. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function newCode(): string {
  // 256 is a multiple of 32, so every character is equally likely.
  return Array.from(randomBytes(CODE_CHARS), (byte) => BASE32.charAt(byte % BASE32.length)).join('');
}

/** Normalizes a typed code: lower case, spaces and dashes, and digits instead of letters. */
export function normalizeCode(typed: string): string {
  const letters: Readonly<Record<string, string>> = { '0': 'O', '1': 'I', '8': 'B' };
  return typed
    .slice(0, 100)
    .toUpperCase()
    .replace(/[\s-]/g, '')
    .replace(/[018]/g, (digit) => letters[digit] ?? digit);
}

/** What root decides about a grant. */
interface NewGrant {
  readonly name: string;
  readonly profile: string;
  readonly client: ClientKind;
  /** Milliseconds since the epoch; null: no end. */
  readonly expiresAt: number | null;
  /** Keep the client that comes with the code, without asking. */
  readonly isKept: boolean;
}

/** Makes a grant with a one-time code. The record has only a MAC of the code, so nobody can guess it without the key. */
export function makeGrant(key: GrantKey, wanted: NewGrant, now: number): { record: GrantRecord; code: string } {
  const code = newCode();
  const id = randomBytes(4).toString('hex');
  return { record: sealedGrant(key, wanted, { id, code: key.mac('code', id, code) }, now), code };
}

/** What a person at the console has chosen for a grant. */
interface ChosenGrant extends NewGrant {
  readonly id: string;
  /** Hash of the code; only the page knows the code itself. */
  readonly codeSha256: string;
}

/** Makes a grant whose code only the page of the console knows. */
export function makeChosenGrant(key: GrantKey, { id, codeSha256, ...wanted }: ChosenGrant, now: number): GrantRecord {
  return sealedGrant(key, wanted, { id, code: key.mac('code-sha256', id, codeSha256) }, now);
}

function sealedGrant(key: GrantKey, wanted: NewGrant, made: { id: string; code: string }, now: number): GrantRecord {
  const { name, profile, client, expiresAt, isKept } = wanted;
  const { id, code } = made;
  const record = {
    name,
    id,
    profile,
    // No token has this hash.
    sha256: randomBytes(32).toString('hex'),
    created_at: now,
    expires_at: expiresAt,
    ips: [],
    grant: { client, code, code_expires_at: now + CODE_SECONDS * 1000, seal: '' },
  };
  const sealed = { ...record, grant: { ...record.grant, seal: sealOf(key, record) } };
  return isKept ? keepGrant(key, sealed) : sealed;
}

/** Returns a grant whose client root has kept. */
export function keepGrant(key: GrantKey, record: GrantRecord): GrantRecord {
  return { ...record, grant: { ...record.grant, kept: key.mac('kept', record.grant.seal) } };
}

/** Returns true when root has kept the client that came with the code. */
export function isKept(key: GrantKey, { grant: { seal, kept = '' } }: GrantRecord): boolean {
  return key.checks(kept, 'kept', seal);
}

/** A minute for a late client to fetch its tokens, and a minute for the owner to answer. */
const ANSWER_MS = 120_000;

/** Returns when a grant that root has not kept ends, in milliseconds since the epoch. */
export function answerDueAt({ grant }: GrantRecord): number {
  return grant.code_expires_at + ANSWER_MS;
}

/** Returns true when `code` is that of a grant, valid or expired. */
export function isCodeOf(key: GrantKey, { id, grant }: GrantRecord, code: string): boolean {
  const hash = new Bun.CryptoHasher('sha256').update(`agent3 code ${code}`).digest('hex');
  return key.checks(grant.code, 'code', id, code) || key.checks(grant.code, 'code-sha256', id, hash);
}

/** Returns true when root made this grant and nobody has changed it since. */
export function isSealed(key: GrantKey, record: GrantRecord): boolean {
  return key.checks(record.grant.seal, 'grant', ...sealedParts(record));
}

function sealOf(key: GrantKey, record: GrantRecord): string {
  return key.mac('grant', ...sealedParts(record));
}

function sealedParts({ name, id, profile, created_at, expires_at, grant }: GrantRecord): unknown[] {
  return [name, id, profile, created_at, expires_at, grant.client, grant.code, grant.code_expires_at];
}

/** Returns true when a token is a grant. */
export function isGrant(record: TokenRecord): record is GrantRecord {
  return record.grant !== undefined;
}

/** Returns true when clients can sign in at this URL: over HTTPS, or on this machine. */
export function takesSignIns(publicUrl: string): boolean {
  return /^https:\/\/|^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i.test(publicUrl);
}
