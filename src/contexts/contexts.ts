import { mkdirSync, readdirSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type Clock, type Deadline, OneShotEvent } from '../lib/clock.ts';
import { errnoOf, InvalidArguments, MachineRefused, SessionNotFound, TooManyRequests } from '../lib/errors.ts';
import { readPlain } from '../lib/files.ts';
import { MAX_CONTEXTS_PER_TOKEN } from '../lib/limits.ts';
import { type ContextCall, type ContextState, digestOfItems, type HeldContext, keepState } from './held-context.ts';
import type { ContextItem } from './shell-state.ts';

/** The beginning of the file of a context, a line of JSON; its items follow in another. */
const headerSchema = Type.Object({
  principal: Type.String(),
  name: Type.String(),
  /** The isolation of the command that wrote it: a context ends when that changes. */
  walls: Type.String(),
  cwd: Type.String(),
  bytes: Type.Integer(),
  used_at: Type.Integer(),
});
type Header = Static<typeof headerSchema>;

const itemsSchema = Type.Array(
  Type.Object({
    kind: Type.Union(
      (['variable', 'function', 'attribute', 'option', 'alias'] as const).map((kind) => Type.Literal(kind)),
    ),
    name: Type.String(),
    text: Type.String(),
  }),
);

/** The token of a context, and the isolation of its command. */
export interface ContextOwner {
  readonly principal: string;
  readonly name: string;
  readonly walls: string;
}

/** The part of a session that contexts need. */
interface ContextSession {
  readonly id: string;
  readonly record: { readonly principal: string; readonly context?: { readonly name: string; readonly walls: string } };
  path(name: 'context'): string;
}

/** A context as a list shows it. */
export interface ContextInfo extends Pick<Header, 'name' | 'cwd' | 'bytes' | 'used_at'> {
  /** The session whose command uses it now. */
  readonly session: string | undefined;
}

const NOTHING_GIVEN: ContextCall = { given: new Set(), hasDirectory: false };
/** A header is shorter: a path has 4,095 bytes, which JSON may double. */
const MOST_HEADER_BYTES = 16_384;
/** A context in use is usually free again soon. */
const RETRY_AFTER_SECONDS = 5;

/** The contexts of all tokens, stored in the directory of the sessions. */
export class Contexts {
  readonly #directory: string;
  #headers: Map<string, Header> | undefined;
  /** Those in use, each with the calls that wait for it. */
  readonly #inUse = new Map<string, { held: HeldContext; readonly waiting: OneShotEvent[] }>();

  constructor(
    sessionsDirectory: string,
    private readonly clock: Clock,
  ) {
    this.#directory = join(sessionsDirectory, '.contexts');
  }

  /** Returns the contexts of a token, by name. */
  list(principal: string): ContextInfo[] {
    return [...this.#all()]
      .filter(([, header]) => header.principal === principal)
      .map(([key, { name, cwd, bytes, used_at }]) => {
        return { name, cwd, bytes, used_at, session: this.#inUse.get(key)?.held.session };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Takes a context for one command, once no other uses it; `release` of the result, or `keep` with the command's
   * session, frees it. Throws `TooManyRequests` if its turn does not come before `deadline`, and for one context too
   * many.
   */
  async enter(
    owner: ContextOwner,
    call: ContextCall,
    deadline: Deadline,
    shutdown: OneShotEvent,
  ): Promise<HeldContext> {
    const key = keyOf(owner);
    for (let user = this.#inUse.get(key); user !== undefined; user = this.#inUse.get(key)) {
      const free = new OneShotEvent();
      user.waiting.push(free);
      const isFree = (await deadline.waitFor(free, shutdown)) && !shutdown.fired;
      if (isFree) continue;
      user.waiting.splice(user.waiting.indexOf(free), 1);
      throw inUse(owner.name, user.held);
    }
    const known = this.#all().get(key);
    if (known === undefined) this.#requireRoom(owner.principal);
    const isOther = known !== undefined && known.walls !== owner.walls;
    if (isOther) this.#drop(key);
    const note = isOther
      ? `The context ${owner.name} was dropped and begins empty: the user or the sandbox of this token has changed.`
      : undefined;
    return this.#hold(key, owner, call, isOther ? undefined : this.#read(key), note);
  }

  /** Takes the context of a command that outlived an earlier agent. */
  occupy({ id, record: { principal, context } }: ContextSession): void {
    if (context === undefined) return;
    const owner = { principal, ...context };
    const key = keyOf(owner);
    if (this.#inUse.has(key)) return;
    this.#hold(key, owner, NOTHING_GIVEN, this.#read(key), undefined).session = id;
  }

  /**
   * Stores the state that the shell of a session has written, if its command `isDone`, and frees the context. Returns
   * what the client has to know about that, in sentences: why the context stays as it was.
   */
  keep(session: ContextSession, isDone: boolean): { readonly context_note?: string } {
    const { principal, context } = session.record;
    if (context === undefined) return {};
    const owner = { principal, ...context };
    const key = keyOf(owner);
    const held = this.#inUse.get(key)?.held ?? this.#hold(key, owner, NOTHING_GIVEN, this.#read(key), undefined);
    const reason = isDone ? this.#take(session.path('context'), key, owner, held) : undefined;
    held.release();
    const told = [held.note, reason].filter((one) => one !== undefined);
    return told.length === 0 ? {} : { context_note: told.join(' ') };
  }

  #take(path: string, key: string, owner: ContextOwner, held: HeldContext): string | undefined {
    try {
      const state = keepState(path, held);
      if (typeof state === 'string') return `The context ${owner.name} stays as it was: ${state}`;
      this.#write(key, owner, state);
      return state.note;
    } catch (error) {
      return `The context ${owner.name} stays as it was: it could not be stored (${errnoOf(error) ?? error}).`;
    }
  }

  /** Drops a context. Throws `SessionNotFound`, and `InvalidArguments` while a command uses it. */
  remove(principal: string, name: string): void {
    const key = keyOf({ principal, name });
    const user = this.#inUse.get(key)?.held;
    if (user !== undefined) throw new InvalidArguments(`${usedBy(name, user)} Close that session first.`);
    if (!this.#all().has(key))
      throw new SessionNotFound('No context with this name: it was closed, has expired, or never existed.');
    this.#drop(key);
  }

  /** Drops the contexts that no command has used for this time. */
  expire(ttlSeconds: number): void {
    const end = this.clock.now() - ttlSeconds * 1000;
    for (const [key, { used_at }] of this.#all()) if (used_at < end && !this.#inUse.has(key)) this.#drop(key);
  }

  #hold(
    key: string,
    { name, walls }: ContextOwner,
    call: ContextCall,
    before: ContextState | undefined,
    note: string | undefined,
  ): HeldContext {
    const waiting: OneShotEvent[] = [];
    const release = (): void => {
      if (this.#inUse.get(key)?.held !== held) return;
      this.#inUse.delete(key);
      for (const one of waiting) one.fire();
    };
    const items = before?.items ?? [];
    const held: HeldContext = {
      ...{ name, walls, call, items, note, release },
      cwd: before?.cwd,
      sha256: digestOfItems(items),
      session: undefined,
    };
    this.#inUse.set(key, { held, waiting });
    return held;
  }

  #requireRoom(principal: string): void {
    if (this.list(principal).length < MAX_CONTEXTS_PER_TOKEN) return;
    throw new TooManyRequests(
      RETRY_AFTER_SECONDS,
      `This token has ${MAX_CONTEXTS_PER_TOKEN} contexts, and nothing was run. list_sessions names them; drop one with close_session.`,
    );
  }

  /** Returns the header of each context, read at the first use. */
  #all(): Map<string, Header> {
    if (this.#headers !== undefined) return this.#headers;
    this.#headers = new Map();
    for (const file of namesIn(this.#directory)) {
      const header = readHeader(join(this.#directory, file));
      if (header !== undefined && keyOf(header) === file) this.#headers.set(file, header);
    }
    return this.#headers;
  }

  #read(key: string): ContextState | undefined {
    const header = this.#all().get(key);
    if (header === undefined) return undefined;
    try {
      const text = readFileSync(join(this.#directory, key), 'utf8');
      const items: unknown = JSON.parse(text.slice(text.indexOf('\n')));
      return Value.Check(itemsSchema, items) ? { cwd: header.cwd, items } : undefined;
    } catch (error) {
      throw new MachineRefused(
        `Nothing was run: the context ${header.name} cannot be read from the disk. Drop it with close_session, or use another one.`,
        error,
      );
    }
  }

  #write(key: string, { principal, name, walls }: ContextOwner, { cwd, items }: ContextState): void {
    const text = JSON.stringify(items);
    const header = { principal, name, walls, cwd, bytes: sizeOf(items), used_at: this.clock.now() };
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, key);
    try {
      writeFileSync(`${path}.tmp`, `${JSON.stringify(header)}\n${text}`, { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    } catch (error) {
      // Frees room on a full disk for the sessions.
      rmSync(`${path}.tmp`, { force: true });
      throw error;
    }
    this.#all().set(key, header);
  }

  #drop(key: string): void {
    rmSync(join(this.#directory, key), { force: true });
    this.#all().delete(key);
  }
}

function sizeOf(items: readonly ContextItem[]): number {
  return items.reduce((sum, { text }) => sum + text.length, 0);
}

function inUse(name: string, held: HeldContext): TooManyRequests {
  return new TooManyRequests(
    RETRY_AFTER_SECONDS,
    `${usedBy(name, held)} Nothing was run: wait for it with read_session and wait, or use another context.`,
  );
}

function usedBy(name: string, { session }: HeldContext): string {
  return `The context ${name} is in use by ${session === undefined ? 'another call' : `the command of session ${session}`}.`;
}

/** Returns the name of a context's file: no name of a token or a context becomes part of a path. */
function keyOf({ principal, name }: Pick<ContextOwner, 'principal' | 'name'>): string {
  return Bun.SHA256.hash(`${principal}\0${name}`, 'hex');
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function readHeader(path: string): Header | undefined {
  try {
    return readPlain(path, (fd) => {
      const bytes = Buffer.alloc(MOST_HEADER_BYTES);
      const [line = ''] = bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0)).split('\n');
      const header: unknown = JSON.parse(line);
      return Value.Check(headerSchema, header) ? header : undefined;
    });
  } catch {
    // Damaged, or gone: the next command begins with an empty one.
    return undefined;
  }
}
