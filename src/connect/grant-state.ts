import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { GrantKey, GrantRecord } from '../access/grant.ts';
import { errnoOf } from '../lib/errors.ts';
import { readPlain, syncDirectory } from '../lib/files.ts';

/** The state of a grant, from the use of its one-time code on. Times are milliseconds since the epoch. */
const stateSchema = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{8}$' }),
  /** Number of changes. The audit record has a line with the number of each change. */
  change: Type.Integer({ minimum: 1 }),
  changed_at: Type.Integer(),
  /** Why it has ended; null while it is valid. */
  ended: Type.Union([Type.String(), Type.Null()]),
  client_id: Type.String(),
  client_name: Type.String(),
  redirect_uri: Type.String(),
  scope: Type.String(),
  /** The address that entered the one-time code. */
  address: Type.String(),
  /** Hash of the authorization code. */
  code_sha256: Type.String(),
  code_challenge: Type.String(),
  code_until: Type.Integer(),
  /** Number of refresh tokens so far; 0 until the client has fetched its first. */
  generation: Type.Integer({ minimum: 0 }),
  /** When the newest of them, or its access token, was first used; null until then. */
  used_at: Type.Union([Type.Integer(), Type.Null()]),
});

export type GrantState = Static<typeof stateSchema>;

const fileSchema = Type.Object({ version: Type.Literal(1), state: stateSchema, mac: Type.String() });

/** Returns the directory of the states of grants, in the sessions directory of an agent. */
export function grantsDirectory(sessionsDirectory: string): string {
  return join(sessionsDirectory, '.grants');
}

/** The result of reading a state; `forged` was not written by an agent with this key. */
export type StateFound = GrantState | 'none' | 'forged';

/** Reads the state of a grant. Throws the system's error for a file that cannot be read. */
export function readState(directory: string, key: GrantKey, { id, grant }: GrantRecord): StateFound {
  const text = readPlainFile(pathOf(directory, id));
  if (text === undefined) return 'none';
  const value = parse(text);
  if (!Value.Check(fileSchema, value)) return 'forged';
  return value.state.id === id && key.checks(value.mac, 'state', grant.seal, value.state) ? value.state : 'forged';
}

/** Writes and syncs a state, atomically. Throws the system's error. */
export function writeState(directory: string, key: GrantKey, { id, grant }: GrantRecord, state: GrantState): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `${id}.new`);
  rmSync(temporary, { force: true });
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(fd, JSON.stringify({ version: 1, state, mac: key.mac('state', grant.seal, state) }));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, pathOf(directory, id));
  syncDirectory(directory);
}

const trySchema = Type.Object({
  /** Number of wrong tries so far, and the number that makes the code void. */
  count: Type.Integer({ minimum: 0 }),
  most: Type.Integer(),
  /** How often Cancel was pressed without the code. */
  cancels: Type.Optional(Type.Integer({ minimum: 1 })),
  address: Type.String(),
  /** For the right code with another kind of client: the kinds that it may be. Empty for a wrong code. */
  kinds: Type.Array(Type.String()),
});

/** The last wrong code, or Cancel without a code, for the waiting terminal. */
export type CodeTry = Static<typeof trySchema>;

const tryFileSchema = Type.Object({ last: trySchema, mac: Type.String() });

/** Writes a wrong try. Their number is limited, because the code becomes void. Throws the system's error. */
export function noteTry(directory: string, key: GrantKey, { id, grant }: GrantRecord, last: CodeTry): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `${id}.new`);
  rmSync(temporary, { force: true });
  writeFileSync(temporary, JSON.stringify({ last, mac: key.mac('try', grant.seal, last) }), {
    flag: 'wx',
    mode: 0o600,
  });
  renameSync(temporary, join(directory, `${id}.try`));
}

/** Reads the last wrong try; undefined without one. Throws the system's error for a file that cannot be read. */
export function readTry(directory: string, key: GrantKey, { id, grant }: GrantRecord): CodeTry | undefined {
  const value = parse(readPlainFile(join(directory, `${id}.try`)) ?? '');
  return Value.Check(tryFileSchema, value) && key.checks(value.mac, 'try', grant.seal, value.last)
    ? value.last
    : undefined;
}

/** Marks a grant as used now, by the time of its file. */
export function noteUse(directory: string, id: string, nowMs: number): void {
  utimesSync(pathOf(directory, id), nowMs / 1000, nowMs / 1000);
}

/** Returns when a grant was last used, in milliseconds; undefined when that is not known. */
export function lastUse(directory: string, id: string): number | undefined {
  try {
    return statSync(pathOf(directory, id), { throwIfNoEntry: false })?.mtimeMs;
  } catch {
    // Another user owns the directory.
    return undefined;
  }
}

/** Removes the states of removed grants. */
export function removeStates(directory: string, isGone: (id: string) => boolean): void {
  if (statSync(directory, { throwIfNoEntry: false }) === undefined) return;
  for (const name of readdirSync(directory)) {
    const id = /^([0-9a-f]{8})\.(?:json|new|try)$/.exec(name)?.[1];
    if (id !== undefined && isGone(id)) rmSync(join(directory, name), { force: true });
  }
}

function pathOf(directory: string, id: string): string {
  return join(directory, `${id}.json`);
}

const MAX_STATE_BYTES = 65_536;

/** Reads a file; undefined when it does not exist, empty when it is not a regular file or too long. */
function readPlainFile(path: string): string | undefined {
  try {
    return readPlain(path, (fd, { size }) => (size <= MAX_STATE_BYTES ? readFileSync(fd, 'utf8') : ''));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return undefined;
    if (errno === 'ELOOP' || errno === undefined) return '';
    throw error;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
