import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Clock } from '../lib/clock.ts';
import { describeErrno, MachineRefused } from '../lib/errors.ts';
import { asSessionId, newSessionId } from '../sessions/record.ts';
import type { SweepCandidate } from '../sessions/sweep.ts';

/** A former content of a file, with its properties. */
const versionSchema = Type.Object({
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  size: Type.Integer(),
  mode: Type.Integer(),
  user: Type.Integer(),
  group: Type.Integer(),
});
export type Version = Static<typeof versionSchema>;

/** A change of a file by a token. Null: there was, or is, no file. */
const changeSchema = Type.Object({
  id: Type.String(),
  principal: Type.String(),
  op: Type.String(),
  path: Type.String(),
  /** In milliseconds since the epoch. */
  at: Type.Integer(),
  before: Type.Union([versionSchema, Type.Null()]),
  after: Type.Union([Type.Object({ sha256: Type.String(), size: Type.Integer() }), Type.Null()]),
  /** How many directories were made for the file. */
  directories: Type.Optional(Type.Integer({ minimum: 0, maximum: 4096 })),
});
export type Change = Static<typeof changeSchema>;

/** Above this number, a token's oldest changes are forgotten. */
export const MAX_CHANGES_PER_TOKEN = 1000;

/** A block of most file systems: the size of a record. */
const RECORD_BYTES = 4096;

/**
 * What files had before they were changed: contents by their hash, and a record for each change, below the directory of
 * the sessions, which every sandbox hides. Each token has its own.
 */
export class Versions {
  /** For each token, the oldest first. Undefined: not read yet. */
  #changes: Map<string, Change[]> | undefined;

  /** `grow` is called with the bytes that are added to the disk, or freed. */
  constructor(
    private readonly directory: string,
    private readonly clock: Clock,
    private readonly grow: (bytes: number) => void,
  ) {}

  /** Keeps what a change is about to replace. Throws `MachineRefused` if that cannot be stored. */
  async keep(change: Omit<Change, 'id' | 'at'>, content: Uint8Array | undefined): Promise<Change> {
    const kept = { ...change, id: newSessionId(), at: this.clock.now() };
    const own = this.#of(change.principal);
    const directory = this.#directoryOf(change.principal);
    const sha256 = change.before?.sha256 ?? '';
    const isNew = content !== undefined && !own.some(({ before }) => before?.sha256 === sha256);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      if (isNew) await writeFile(join(directory, sha256), content, { mode: 0o600 });
      await writeFile(join(directory, `${kept.id}.json`), JSON.stringify(kept), { mode: 0o600 });
    } catch (error) {
      throw new MachineRefused(
        `Nothing was changed: what the file has now could not be kept for undo (${describeErrno(error)}). Tell the owner of the server.`,
        error,
      );
    }
    own.push(kept);
    this.grow(RECORD_BYTES + (isNew ? content.length : 0));
    for (const old of own.slice(0, Math.max(0, own.length - MAX_CHANGES_PER_TOKEN))) this.remove(old);
    return kept;
  }

  /** Returns the changes of a token, the newest first. */
  list(principal: string): Change[] {
    return [...this.#of(principal)].reverse();
  }

  /** Returns the changes of all tokens, the newest first. */
  everyone(): Change[] {
    return [...this.#all().values()].flat().sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Returns what a file had before a change. Throws `MachineRefused` if that was changed or removed. */
  async contentBefore({ principal, before }: Change): Promise<Uint8Array | undefined> {
    if (before === null) return undefined;
    const bytes = await readFile(join(this.#directoryOf(principal), before.sha256)).catch(() => undefined);
    if (bytes !== undefined && Bun.SHA256.hash(bytes, 'hex') === before.sha256) return bytes;
    throw new MachineRefused(
      'Nothing was changed: what the file had before was removed, or was changed on the disk of the server.',
      new Error('a kept version is not what its record names'),
    );
  }

  /** Forgets a change, and what is kept only for it. */
  remove(change: Change): void {
    const own = this.#of(change.principal);
    const at = own.indexOf(change);
    if (at === -1) return;
    own.splice(at, 1);
    const directory = this.#directoryOf(change.principal);
    rmSync(join(directory, `${change.id}.json`), { force: true });
    const { before } = change;
    const isAlone = before !== null && !own.some((one) => one.before?.sha256 === before.sha256);
    if (isAlone) rmSync(join(directory, before.sha256), { force: true });
    this.grow(-RECORD_BYTES - (isAlone ? before.size : 0));
  }

  /** Returns how much of the disk each change counts for. A content counts for the newest change that it belongs to. */
  candidates(): SweepCandidate<Change>[] {
    return [...this.#all().values()].flatMap((own) => {
      const counted = new Set<string>();
      return [...own].reverse().map((change) => {
        const { principal, at, before } = change;
        const isNew = before !== null && !counted.has(before.sha256);
        if (isNew) counted.add(before.sha256);
        return { key: change, principal, endedAt: at, bytes: RECORD_BYTES + (isNew ? before.size : 0) };
      });
    });
  }

  #of(principal: string): Change[] {
    const all = this.#all();
    const own = all.get(principal) ?? [];
    all.set(principal, own);
    return own;
  }

  #all(): Map<string, Change[]> {
    this.#changes ??= this.#load();
    return this.#changes;
  }

  /** Reads what earlier agents kept. Removes what no record names. */
  #load(): Map<string, Change[]> {
    const all = new Map<string, Change[]>();
    for (const name of list(this.directory)) {
      const directory = join(this.directory, name);
      const names = list(directory).sort();
      const changes = names.flatMap((one) => readChange(directory, one) ?? []);
      const own = changes.filter(({ principal }) => this.#directoryOf(principal) === directory);
      const needed = new Set(
        own.flatMap(({ id, before }) => [`${id}.json`, ...(before === null ? [] : [before.sha256])]),
      );
      for (const one of names) if (!needed.has(one)) rmSync(join(directory, one), { recursive: true, force: true });
      const [first] = own;
      if (first !== undefined) all.set(first.principal, own);
    }
    return all;
  }

  /** No name of a token is part of a path. */
  #directoryOf(principal: string): string {
    return join(this.directory, Bun.SHA256.hash(principal, 'hex').slice(0, 32));
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // It does not exist yet, or is not a directory.
    return [];
  }
}

function readChange(directory: string, name: string): Change | undefined {
  if (!name.endsWith('.json') || asSessionId(name.slice(0, -'.json'.length)) === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(join(directory, name), 'utf8'));
    return Value.Check(changeSchema, value) && `${value.id}.json` === name ? value : undefined;
  } catch {
    return undefined;
  }
}
