import {
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { ownershipFault, syncDirectory } from '../lib/files.ts';
import { visibleLine } from '../lib/visible.ts';
import { lockHolder, lockWithin } from '../linux/lock.ts';

/** The token of the settings has this name. */
export const RESERVED = 'default';

const sha256Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });

const mac = Type.String({ pattern: '^[\\w-]{43}$' });

/** What makes a token a grant, which a client gets by signing in with a one-time code. */
const grantSchema = Type.Object({
  /** The kind of client that the code is for. */
  client: Type.String({ pattern: '^[a-z-]{1,20}$' }),
  /** Of the one-time code. */
  code: mac,
  code_expires_at: Type.Integer(),
  /** Of everything that root decided. */
  seal: mac,
  /** Root's yes to the client that has come; without it, the grant allows nothing yet. */
  kept: Type.Optional(mac),
});

export type GrantNote = Static<typeof grantSchema>;

/** A token as it is kept: never itself, only its SHA-256. Times are milliseconds since the epoch. */
const tokenSchema = Type.Object({
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9_.-]{0,63}$' }),
  /** Tells a token from a later one of the same name, which must not see its sessions. */
  id: Type.String({ pattern: '^[0-9a-f]{8}$' }),
  /** What it may do; without one, `full`. */
  profile: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' })),
  sha256: sha256Hex,
  created_at: Type.Integer(),
  expires_at: Type.Union([Type.Integer(), Type.Null()]),
  /** Addresses and networks that it may come from; none: from everywhere. */
  ips: Type.Array(Type.String()),
  /** The tokens before it, by rotation, as long as they still work. */
  previous: Type.Optional(Type.Array(Type.Object({ sha256: sha256Hex, until: Type.Integer() }))),
  grant: Type.Optional(grantSchema),
  /** The orders of the owner's console that made it what it is, with their signatures, by their kinds. */
  signed: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});

export type TokenRecord = Static<typeof tokenSchema>;

const fileSchema = Type.Object({
  version: Type.Literal(1),
  tokens: Type.Array(tokenSchema),
  /** Of the last order of the owner's console that changed them, in milliseconds: an earlier one counts no more. */
  ordered_at: Type.Optional(Type.Integer()),
});

type TokenFile = Static<typeof fileSchema>;

/** The file of tokens cannot be used; the message says why and what to do. */
export class TokenFileFault extends Error {}

/** The tokens in `path`, for an agent of the user `own`; none where there is no such file. Throws `TokenFileFault`. */
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
      `${path} is no file of tokens (${fault?.path ?? ''}: ${fault?.message ?? ''}); put a copy of it back, or move it away and make the tokens anew`,
    );
  }
  return value;
}

/** The SHA-256 of a token, as the file has it. */
export function hashToken(token: string): string {
  return new Bun.CryptoHasher('sha256').update(token).digest('hex');
}

/**
 * A token with a new secret in its place: its sessions stay its own. The old secret works until `until`, with those that
 * an earlier rotation has left time; when `until` is not after `now`, all of them end. `expiresAt` is a new end.
 * Times are milliseconds since the epoch.
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
 * The tokens without the one of this name, which has ended then; `id`: only where it has this one. Throws
 * `TokenFileFault` where there is none.
 */
export function withoutToken(tokens: readonly TokenRecord[], name: string, id?: string): TokenRecord[] {
  const left = tokens.filter((token) => token.name !== name || (id !== undefined && token.id !== id));
  if (left.length < tokens.length) return left;
  throw new TokenFileFault(`there is no token ${visibleLine(name.slice(0, 64))}; agent3 token list shows them`);
}

const OWN_MODE = 0o600;

/**
 * Writes the tokens so that a reader sees the old file or the new one, whole. With a `group` the file is root's, whatever
 * it was, and the group may read it; without one, owner and mode of a file that is there stay, and a new one is readable
 * for nobody else. Throws `TokenFileFault`.
 */
export function writeTokens(path: string, tokens: readonly TokenRecord[], group?: number, orderedAt?: number): void {
  const there = statSync(path, { throwIfNoEntry: false });
  const mode = group !== undefined ? 0o640 : there === undefined ? OWN_MODE : there.mode & 0o777;
  const beside = `${path}.new`;
  try {
    const fd = openSync(beside, 'w', OWN_MODE);
    try {
      writeSync(fd, `${JSON.stringify({ version: 1, tokens, ordered_at: orderedAt }, null, 2)}\n`);
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (group !== undefined) chownSync(beside, 0, group);
    else if (there !== undefined) chownSync(beside, there.uid, there.gid);
    renameSync(beside, path);
    // A token that was shown is there after a loss of power, and a revoked one is not.
    syncDirectory(dirname(path));
  } catch (error) {
    throw new TokenFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

/** So long a change waits for another one. */
const LOCK_TIMEOUT_MS = 5000;

/** Who may read the file of a service, whose agent goes by it, and how long another change is waited for. */
interface ChangeOptions {
  readonly group?: number | undefined;
  readonly own?: number | undefined;
  readonly timeoutMs?: number;
  /** When an order of the owner's console was made that changes them: one from before the last counts no more. */
  readonly orderedAt?: number;
}

/**
 * Reads the tokens, and writes what `change` makes of them, one process at a time: of two that did it at once, one
 * would be lost. Throws `TokenFileFault`, and what `change` throws.
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
        `${path} cannot be written now: ${lockHolder(fd)} holds ${path}.lock. Try it again; what is no agent3 may be stopped`,
      );
    const { tokens, ordered_at } = readFile(path, own);
    if (orderedAt !== undefined && orderedAt <= (ordered_at ?? 0))
      throw new TokenFileFault('an order that was made later has changed the tokens already: order it again');
    writeTokens(path, change(tokens), group, orderedAt ?? ordered_at);
  } finally {
    closeSync(fd);
  }
}

/** A file beside it, which stays. Nobody else may open it: who reads the tokens could hold a lock on them for ever. */
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
    return readFileSync(path, 'utf8');
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
    throw new TokenFileFault(`${path} is no JSON; put a copy of it back, or move it away and make the tokens anew`);
  }
}
