import {
  chownSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../core/errors.ts';

const sha256Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });

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
  /** The token before the last rotation, as long as it still works. */
  previous: Type.Optional(Type.Object({ sha256: sha256Hex, until: Type.Integer() })),
});

export type TokenRecord = Static<typeof tokenSchema>;

const fileSchema = Type.Object({ version: Type.Literal(1), tokens: Type.Array(tokenSchema) });

/** The file of tokens cannot be used; the message says why and what to do. */
export class TokenFileFault extends Error {}

/** The tokens in `path`; none where there is no such file. Throws `TokenFileFault`. */
export function readTokens(path: string): TokenRecord[] {
  const text = readText(path);
  if (text === undefined) return [];
  const value = parse(path, text);
  if (!Value.Check(fileSchema, value)) {
    const fault = Value.Errors(fileSchema, value).First();
    throw new TokenFileFault(
      `${path} is no file of tokens (${fault?.path ?? ''}: ${fault?.message ?? ''}); put a copy of it back, or move it away and make the tokens anew`,
    );
  }
  return value.tokens;
}

/** The SHA-256 of a token, as the file has it. */
export function hashToken(token: string): string {
  return new Bun.CryptoHasher('sha256').update(token).digest('hex');
}

const OWN_MODE = 0o600;

/**
 * Writes the tokens so that a reader sees the old file or the new one, whole. Owner and mode of a file that is there
 * stay; a new one belongs to `group`, who may read it, or to nobody else. Throws `TokenFileFault`.
 */
export function writeTokens(path: string, tokens: readonly TokenRecord[], group?: number): void {
  const there = statSync(path, { throwIfNoEntry: false });
  const mode = there === undefined ? (group === undefined ? OWN_MODE : 0o640) : there.mode & 0o777;
  const beside = `${path}.new`;
  try {
    const fd = openSync(beside, 'w', OWN_MODE);
    try {
      writeSync(fd, `${JSON.stringify({ version: 1, tokens }, null, 2)}\n`);
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (there !== undefined) chownSync(beside, there.uid, there.gid);
    else if (group !== undefined) chownSync(beside, 0, group);
    renameSync(beside, path);
  } catch (error) {
    throw new TokenFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
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
