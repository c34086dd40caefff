import {
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { ownershipFault, readRegular, syncDirectory } from '../lib/files.ts';
import { visibleLine } from '../lib/visible.ts';
import { lockHolder, lockWithin } from '../linux/lock.ts';
import { withReserve } from '../linux/open-files.ts';

/** The name of the token of the settings. */
export const RESERVED = 'default';

const sha256Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });

const mac = Type.String({ pattern: '^[\\w-]{43}$' });

/** Milliseconds since the epoch, as far as a date can be. */
const moment = Type.Integer({ minimum: 0, maximum: 8.64e15 });

/** The fields of a grant, which a client gets by signing in with a one-time code. */
const grantSchema = Type.Object({
  /** The kind of client that the code is for. */
  client: Type.String({ pattern: '^[a-z-]{1,20}$' }),
  /** MAC of the one-time code. */
  code: mac,
  code_expires_at: moment,
  /** MAC of everything that root decided. */
  seal: mac,
  /** Set when root has kept the client. Without it, the grant allows nothing yet. */
  kept: Type.Optional(mac),
});

export type GrantNote = Static<typeof grantSchema>;

/** A stored token: only its SHA-256. Times are milliseconds since the epoch. */
const tokenSchema = Type.Object({
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9_.-]{0,63}$' }),
  /** Distinguishes a token from a later one of the same name, which must not see its sessions. */
  id: Type.String({ pattern: '^[0-9a-f]{8}$' }),
  /** Its profile; `full` when missing. */
  profile: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' })),
  sha256: sha256Hex,
  created_at: moment,
  expires_at: Type.Union([moment, Type.Null()]),
  /** Addresses and networks that may use it; empty: any. */
  ips: Type.Array(Type.String()),
  /** Earlier tokens of a rotation that still work. */
  previous: Type.Optional(Type.Array(Type.Object({ sha256: sha256Hex, until: moment }))),
  grant: Type.Optional(grantSchema),
  /** The signed orders of the owner's console that made or changed it, by kind. */
  signed: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});

export type TokenRecord = Static<typeof tokenSchema>;

const fileSchema = Type.Object({
  version: Type.Literal(1),
  tokens: Type.Array(tokenSchema),
  /** Time of the last order of the owner's console, in milliseconds. Earlier orders are no longer valid. */
  ordered_at: Type.Optional(moment),
});

type TokenFile = Static<typeof fileSchema>;

/** The file of tokens cannot be used. The message says why and what to do. */
export class TokenFileFault extends Error {}

/** Returns the tokens in `path`, for an agent of the user `own`; none without the file. Throws `TokenFileFault`. */
export function readTokens(path: string, own?: number): TokenRecord[] {
  return readFile(path, own).tokens;
}

function readFile(path: string, own: number | undefined): TokenFile {
  const text = readText(path, own);
  if (text === undefined) return { version: 1, tokens: [] };
  const value = parse(path, text);
  if (!Value.Check(fileSchema, value)) {
    const fault = Value.Errors(fileSchema, value).First();
    throw new TokenFileFault(
      `${path} is not a file of tokens (${fault?.path || '/'}: ${fault?.message ?? ''}). Restore a copy, or move it away and create the tokens again`,
    );
  }
  return value;
}

/** Returns the SHA-256 of a token, as the file stores it. */
export function hashToken(token: string): string {
  return new Bun.CryptoHasher('sha256').update(token).digest('hex');
}

/**
 * Returns a token with a new secret, which keeps its sessions. The old secret works until `until`, like those of earlier
 * rotations that still work. When `until` is not after `now`, all of them end. `expiresAt` is the new end. Times are
 * milliseconds since the epoch.
 */
export function rotateRecord(
  token: TokenRecord,
  { sha256, now, until, expiresAt }: { sha256: string; now: number; until: number; expiresAt: number | undefined },
): TokenRecord {
  const { previous = [], ...kept } = token;
  const before = until > now ? [...previous.filter((one) => one.until > now), { sha256: token.sha256, until }] : [];
  return {
    ...kept,
    sha256,
    ...(expiresAt !== undefined && { expires_at: expiresAt }),
    ...(before.length > 0 && { previous: before }),
  };
}

/**
 * Returns the tokens without the one of this name, which ends it; with `id`, only when it has this id. Throws
 * `TokenFileFault` when there is no such token.
 */
export function withoutToken(tokens: readonly TokenRecord[], name: string, id?: string): TokenRecord[] {
  const left = tokens.filter((token) => token.name !== name || (id !== undefined && token.id !== id));
  if (left.length < tokens.length) return left;
  throw new TokenFileFault(`there is no token ${visibleLine(name.slice(0, 64))}. To see them: agent3 token list`);
}

const OWN_MODE = 0o600;

/**
 * Writes the tokens by an atomic replace. With a `group`, the file belongs to root and the group may read it. Without one,
 * an existing file keeps its owner and mode, and a new one is readable only by its user. Throws `TokenFileFault`.
 */
export function writeTokens(path: string, tokens: readonly TokenRecord[], group?: number, orderedAt?: number): void {
  const there = statSync(path, { throwIfNoEntry: false });
  const mode = group !== undefined ? 0o640 : there === undefined ? OWN_MODE : there.mode & 0o777;
  const temporary = `${path}.new`;
  try {
    const fd = openSync(temporary, 'w', OWN_MODE);
    try {
      writeSync(fd, `${JSON.stringify({ version: 1, tokens, ordered_at: orderedAt }, null, 2)}\n`);
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (group !== undefined) chownSync(temporary, 0, group);
    else if (there !== undefined) chownSync(temporary, there.uid, there.gid);
    renameSync(temporary, path);
    // Synced, so that a power loss neither loses a new token nor brings back a revoked one.
    syncDirectory(dirname(path));
  } catch (error) {
    throw new TokenFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

/** How long a change waits for another one. */
const LOCK_TIMEOUT_MS = 5000;

/** The group that may read the file of a service, the user of its agent, and how long to wait for another change. */
interface ChangeOptions {
  readonly group?: number | undefined;
  readonly own?: number | undefined;
  readonly timeoutMs?: number;
  /** Time of the order of the owner's console. An order from before the last one is not valid. */
  readonly orderedAt?: number;
}

/**
 * Reads the tokens and writes the result of `change`. A lock lets in one process at a time, so that no change is lost.
 * Throws `TokenFileFault`, and what `change` throws.
 */
export function changeTokens(
  path: string,
  change: (tokens: TokenRecord[]) => readonly TokenRecord[],
  { group, own, timeoutMs = LOCK_TIMEOUT_MS, orderedAt }: ChangeOptions = {},
): void {
  const fd = openLock(path);
  try {
    if (!lockWithin(fd, timeoutMs))
      throw new TokenFileFault(
        `${path} cannot be written now: ${lockHolder(fd)} holds ${path}.lock. Try again, and stop that process if it is not agent3`,
      );
    const { tokens, ordered_at } = readFile(path, own);
    if (orderedAt !== undefined && orderedAt <= (ordered_at ?? 0))
      throw new TokenFileFault('a later order has already changed the tokens. Give the order again');
    writeTokens(path, change(tokens), group, orderedAt ?? ordered_at);
  } finally {
    closeSync(fd);
  }
}

/** Opens the lock file, which is kept. Other users may not open it, because they could hold the lock for ever. */
function openLock(path: string): number {
  try {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    return openSync(`${path}.lock`, O_RDWR | O_CREAT | O_NOFOLLOW, OWN_MODE);
  } catch (error) {
    throw new TokenFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

function readText(path: string, own: number | undefined): string | undefined {
  try {
    const fault = ownershipFault(path, own);
    if (fault !== undefined) throw new TokenFileFault(`${path} is not used: ${fault}`);
    return withReserve(() => readRegular(path).toString('utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (error instanceof TokenFileFault) throw error;
    throw new TokenFileFault(`${path} cannot be read: ${describeErrno(error)}`);
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TokenFileFault(`${path} is not JSON. Restore a copy, or move it away and create the tokens again`);
  }
}
