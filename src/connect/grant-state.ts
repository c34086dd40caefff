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

/** What the agent must remember of a grant, from the moment its one-time code was used. Times are milliseconds. */
const stateSchema = Type.Object({
  id: Type.String({ pattern: '^[0-9a-f]{8}$' }),
  /** How often it was changed: the audit record has a line of each change, with this number. */
  change: Type.Integer({ minimum: 1 }),
  changed_at: Type.Integer(),
  /** Why nobody can use it any more; null while it is good. */
  ended: Type.Union([Type.String(), Type.Null()]),
  client_id: Type.String(),
  client_name: Type.String(),
  redirect_uri: Type.String(),
  scope: Type.String(),
  /** Whoever gave the one-time code came from here. */
  address: Type.String(),
  /** Of the authorization code, as it was given out. */
  code_sha256: Type.String(),
  code_challenge: Type.String(),
  code_until: Type.Integer(),
  /** How many refresh tokens were given out; 0 until the client has fetched its first. */
  generation: Type.Integer({ minimum: 0 }),
  /** When the newest of them, or an access token with it, came first; null until then. */
  used_at: Type.Union([Type.Integer(), Type.Null()]),
});

export type GrantState = Static<typeof stateSchema>;

const fileSchema = Type.Object({ version: Type.Literal(1), state: stateSchema, mac: Type.String() });

/** Where the states of an agent's grants lie, in the directory of its sessions. */
export function grantsDirectory(sessionsDirectory: string): string {
  return join(sessionsDirectory, '.grants');
}

/** What came of reading a state: `forged` was not written by an agent with this key. */
export type StateFound = GrantState | 'none' | 'forged';

/** The state of a grant. Throws the system's error for a file that cannot be read. */
export function readState(directory: string, key: GrantKey, { id, grant }: GrantRecord): StateFound {
  const text = readPlainFile(pathOf(directory, id));
  if (text === undefined) return 'none';
  const value = parse(text);
  if (!Value.Check(fileSchema, value)) return 'forged';
  return value.state.id === id && key.checks(value.mac, 'state', grant.seal, value.state) ? value.state : 'forged';
}

/** Writes a state so that it is on the disk, whole, when this returns. Throws the system's error. */
export function writeState(directory: string, key: GrantKey, { id, grant }: GrantRecord, state: GrantState): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const beside = join(directory, `${id}.new`);
  rmSync(beside, { force: true });
  const fd = openSync(beside, 'wx', 0o600);
  try {
    writeSync(fd, JSON.stringify({ version: 1, state, mac: key.mac('state', grant.seal, state) }));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, pathOf(directory, id));
  syncDirectory(directory);
}

const trySchema = Type.Object({
  /** How many there were, this one with them, and after how many the code is void. */
  count: Type.Integer({ minimum: 0 }),
  most: Type.Integer(),
  /** Where somebody pressed Cancel without the code: how often so far. */
  cancels: Type.Optional(Type.Integer({ minimum: 1 })),
  address: Type.String(),
  /** The kinds that its client may be, where the code was the right one and its client was not; none for a wrong code. */
  kinds: Type.Array(Type.String()),
});

/** The last wrong try of a code, or Cancel without it, for the terminal that waits. */
export type CodeTry = Static<typeof trySchema>;

const tryFileSchema = Type.Object({ last: trySchema, mac: Type.String() });

/** Notes a wrong try: there are no more than make the code void. Throws the system's error. */
export function noteTry(directory: string, key: GrantKey, { id, grant }: GrantRecord, last: CodeTry): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const beside = join(directory, `${id}.new`);
  rmSync(beside, { force: true });
  writeFileSync(beside, JSON.stringify({ last, mac: key.mac('try', grant.seal, last) }), { flag: 'wx', mode: 0o600 });
  renameSync(beside, join(directory, `${id}.try`));
}

/** The last wrong try; undefined where there was none. Throws the system's error for a file that cannot be read. */
export function readTry(directory: string, key: GrantKey, { id, grant }: GrantRecord): CodeTry | undefined {
  const value = parse(readPlainFile(join(directory, `${id}.try`)) ?? '');
  return Value.Check(tryFileSchema, value) && key.checks(value.mac, 'try', grant.seal, value.last)
    ? value.last
    : undefined;
}

/** Notes that a grant was used now: by the time of its file. */
export function noteUse(directory: string, id: string, nowMs: number): void {
  utimesSync(pathOf(directory, id), nowMs / 1000, nowMs / 1000);
}

/** When a grant was used last, in milliseconds; undefined where nobody knows. */
export function lastUse(directory: string, id: string): number | undefined {
  try {
    return statSync(pathOf(directory, id), { throwIfNoEntry: false })?.mtimeMs;
  } catch {
    // The directory is another user's.
    return undefined;
  }
}

/** Removes the states of grants that are no more. */
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

/** Undefined where there is no file; of what is no plain file, or too long, the empty text. */
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
