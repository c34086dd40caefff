import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { ClientKind } from './client-kinds.ts';
import type { GrantNote, TokenRecord } from './token-file.ts';

/** A token that a client gets by signing in, as root wrote it. */
export type GrantRecord = TokenRecord & { readonly grant: GrantNote };

/** What grants are sealed with: `AGENT3_GRANT_KEY`. A program that has it can make them. */
export class GrantKey {
  constructor(private readonly secret: string) {}

  /** HMAC-SHA256 of `parts` for one `purpose`, as 43 characters of Base64url. */
  mac(purpose: string, ...parts: readonly unknown[]): string {
    return new Bun.CryptoHasher('sha256', this.secret).update(JSON.stringify([purpose, ...parts])).digest('base64url');
  }

  /** Whether `mac` is that of `parts`, in constant time. */
  checks(mac: string, purpose: string, ...parts: readonly unknown[]): boolean {
    const expected = Buffer.from(this.mac(purpose, ...parts));
    const given = Buffer.from(mac);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}

/** How long a one-time code can be used. */
const CODE_SECONDS = 600;

const CODE_CHARS = 10;
/** RFC 4648: neither 0 nor 1 is in it, which look like letters. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function newCode(): string {
  // 256 is a multiple of 32: every character is as likely.
  return Array.from(randomBytes(CODE_CHARS), (byte) => BASE32.charAt(byte % BASE32.length)).join('');
}

/** A code as somebody typed it: in small letters, with spaces and dashes, with digits in the place of letters. */
export function normalizeCode(typed: string): string {
  const letters: Readonly<Record<string, string>> = { '0': 'O', '1': 'I', '8': 'B' };
  return typed
    .slice(0, 100)
    .toUpperCase()
    .replace(/[\s-]/g, '')
    .replace(/[018]/g, (digit) => letters[digit] ?? digit);
}

/** What root decides on a grant. */
interface NewGrant {
  readonly name: string;
  readonly profile: string;
  readonly client: ClientKind;
  /** Milliseconds since the epoch; null: no end. */
  readonly expiresAt: number | null;
  /** Whoever comes with the code is kept, without another question. */
  readonly isKept: boolean;
}

/** A grant with its one-time code, of which the record holds only a MAC: nobody can try codes without the key. */
export function makeGrant(key: GrantKey, wanted: NewGrant, now: number): { record: GrantRecord; code: string } {
  const code = newCode();
  const id = randomBytes(4).toString('hex');
  return { record: sealedGrant(key, wanted, { id, code: key.mac('code', id, code) }, now), code };
}

/** What somebody at the console has chosen for a grant. */
interface ChosenGrant extends NewGrant {
  readonly id: string;
  /** What the console's order has of the code: the page alone knows it. */
  readonly codeSha256: string;
}

/** A grant whose code nobody but the page of the console knows. */
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

/** A grant with root's yes to the client that has come. */
export function keepGrant(key: GrantKey, record: GrantRecord): GrantRecord {
  return { ...record, grant: { ...record.grant, kept: key.mac('kept', record.grant.seal) } };
}

/** Whether root has said yes to the client that came with the code. */
export function isKept(key: GrantKey, { grant: { seal, kept = '' } }: GrantRecord): boolean {
  return key.checks(kept, 'kept', seal);
}

/** A client that comes at the last moment fetches its tokens within a minute; then there is another one for the answer. */
const ANSWER_MS = 120_000;

/** A grant that root has not kept by then, in milliseconds since the epoch, is over. */
export function answerDueAt({ grant }: GrantRecord): number {
  return grant.code_expires_at + ANSWER_MS;
}

/** Whether `code` is the one of a grant; it may be over. */
export function isCodeOf(key: GrantKey, { id, grant }: GrantRecord, code: string): boolean {
  const hash = new Bun.CryptoHasher('sha256').update(`agent3 code ${code}`).digest('hex');
  return key.checks(grant.code, 'code', id, code) || key.checks(grant.code, 'code-sha256', id, hash);
}

/** Whether root made this grant, and nobody has changed anything of it since. */
export function isSealed(key: GrantKey, record: GrantRecord): boolean {
  return key.checks(record.grant.seal, 'grant', ...sealedParts(record));
}

function sealOf(key: GrantKey, record: GrantRecord): string {
  return key.mac('grant', ...sealedParts(record));
}

function sealedParts({ name, id, profile, created_at, expires_at, grant }: GrantRecord): unknown[] {
  return [name, id, profile, created_at, expires_at, grant.client, grant.code, grant.code_expires_at];
}

/** Whether a token is a grant. */
export function isGrant(record: TokenRecord): record is GrantRecord {
  return record.grant !== undefined;
}

/** Whether clients can sign in under this URL: by HTTPS, or on this machine. */
export function takesSignIns(publicUrl: string): boolean {
  return /^https:\/\/|^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i.test(publicUrl);
}
