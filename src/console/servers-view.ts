import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { readAsked } from './asked.ts';
import { WireRefusal } from './channel.ts';
import type { ChangeOfKeys, ShownFleet, ShownServer, WatchedFleet } from './shown-servers.ts';
import { type AskLimits, describeFault, WatchedServer } from './watched-server.ts';

/** A server as its hub knows it. */
export interface ServerOfFleet {
  readonly name: string;
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'connected' | 'unreachable';
  readonly lastSeenAt: number | undefined;
  readonly shown: { readonly version: string; readonly frozen: boolean } | undefined;
}

/** What the console needs of a hub. */
export interface FleetOfHub {
  name(): string;
  servers(): readonly ServerOfFleet[];
  /** What the servers do not know of the console's passkeys; undefined: nothing. */
  changeOfKeys(): ChangeOfKeys | undefined;
  /** Asks the server with this key what its console would show. Rejects with `AgentError`. */
  ask(key: string, args: unknown, limits: AskLimits): Promise<unknown>;
}

const MAX_WAIT_MS = 25_000;
/** How often it is looked who is connected, while somebody watches. */
const LOOK_MS = 1000;
/** Changes of many servers within this time are one. */
const TOGETHER_MS = 100;
/** So long after the last look of a page the servers are asked no more: a page in the background looks every 15 s. */
const LINGER_MS = 20_000;
const READ_SECONDS = 10;
const MOST_FAULT_CHARS = 300;

/** Servers in one answer. */
const MOST_SERVERS = 500;
/** Characters of an answer, which servers share as equals: one that writes a lot takes no room of the others. */
const ANSWER_CHARS = 300_000;

const KEY = Type.String({ pattern: '^U[A-Z2-7]{55}$' });
const ASKED = {
  servers: Type.Object({ version: Type.Integer(), wait_ms: Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS }) }),
  'server-reading': Type.Object({
    server: KEY,
    op: Type.Union([Type.Literal('request'), Type.Literal('output')]),
    args: Type.Unknown(),
  }),
};
/** The form of what a server is asked for. */
const ANSWERS = {
  request: Type.Object({ text: Type.String(), next: Type.Union([Type.Integer(), Type.Null()]) }),
  output: Type.Object({ base64: Type.String({ maxLength: 400_000 }), size: Type.Integer({ minimum: 0 }) }),
};

/** What the owner of a hub sees of its servers. They are asked while somebody watches, and not else. */
export class ServersView {
  readonly #watched = new Map<string, WatchedServer>();
  #version = Date.now() * 1000;
  #changed = new OneShotEvent();
  #fleet: ShownFleet = { servers: [], more: 0, keys: null };
  #text = '';
  #watchers = 0;
  #looks: ReturnType<typeof setInterval> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly fleet: FleetOfHub) {}

  /** The name of the hub itself. */
  get hub(): string {
    return this.fleet.name();
  }

  /** The answer to an operation, made when it can be sent; undefined: it is another one. Rejects with `WireRefusal`. */
  async answer(op: string, args: unknown, signal: AbortSignal): Promise<(() => unknown) | undefined> {
    switch (op) {
      case 'servers': {
        const { version, wait_ms } = readAsked(ASKED.servers, args);
        return this.#watch(version, wait_ms, signal);
      }
      case 'server-reading': {
        const { server, op: reading, args: inner } = readAsked(ASKED['server-reading'], args);
        const found = await this.#read(server, reading, inner, signal);
        return () => found;
      }
      default:
        return undefined;
    }
  }

  async #watch(version: number, waitMs: number, signal: AbortSignal): Promise<() => WatchedFleet> {
    const deadline = Deadline.after(waitMs / 1000);
    const aborted = onceOf(signal);
    using _watching = this.#begin();
    while (this.#version === version && !deadline.passed && !signal.aborted)
      await deadline.waitFor(this.#changed, aborted);
    return () => ({ version: this.#version, ...(this.#version !== version && { fleet: this.#fleet }) });
  }

  /** What a server answers, which may be anything. Rejects with `WireRefusal`. */
  async #read(server: string, op: keyof typeof ANSWERS, args: unknown, signal: AbortSignal): Promise<unknown> {
    const limits = { deadline: Deadline.after(READ_SECONDS), cancelled: onceOf(signal) };
    const answer = await this.fleet.ask(server, { op, args }, limits).catch((error: unknown) => {
      throw new WireRefusal('BadRequest', describeFault(error));
    });
    if (!Value.Check(ANSWERS[op], answer))
      throw new WireRefusal('BadRequest', 'The answer of the server has an unknown format.');
    return answer;
  }

  /** Somebody watches until this is disposed of. */
  #begin(): Disposable {
    this.#watchers++;
    clearTimeout(this.#linger);
    if (this.#looks === undefined) {
      this.#looks = setInterval(() => this.#look(), LOOK_MS);
      this.#look();
    }
    return {
      [Symbol.dispose]: () => {
        if (--this.#watchers > 0) return;
        this.#linger = setTimeout(() => this.#end(), LINGER_MS);
        this.#linger.unref();
      },
    };
  }

  #end(): void {
    clearInterval(this.#looks);
    clearTimeout(this.#soon);
    this.#looks = undefined;
    this.#soon = undefined;
    for (const one of this.#watched.values()) one[Symbol.dispose]();
    this.#watched.clear();
  }

  /** Asks the connected servers only, then shows what is known. */
  #look(): void {
    const connected = new Set(
      this.fleet
        .servers()
        .filter(({ state }) => state === 'connected')
        .map(({ key }) => key),
    );
    for (const [key, one] of this.#watched) {
      if (connected.has(key)) continue;
      one[Symbol.dispose]();
      this.#watched.delete(key);
    }
    for (const key of connected) {
      if (this.#watched.has(key)) continue;
      const ask: FleetOfHub['ask'] = (...asked) => this.fleet.ask(...asked);
      this.#watched.set(
        key,
        new WatchedServer(
          (args, limits) => ask(key, args, limits),
          () => this.#showSoon(),
        ),
      );
    }
    this.#show();
  }

  #showSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#show();
    }, TOGETHER_MS);
  }

  #show(): void {
    const fleet = this.#shown();
    const text = JSON.stringify(fleet);
    if (text === this.#text) return;
    this.#fleet = fleet;
    this.#text = text;
    this.#version++;
    const changed = this.#changed;
    this.#changed = new OneShotEvent();
    changed.fire();
  }

  #shown(): ShownFleet {
    const all = this.fleet.servers().map((server) => this.#describe(server));
    const isCut = all.length > MOST_SERVERS;
    // What waits for somebody is never what has no room.
    const servers = isCut ? all.sort((a, b) => b.waiting.length - a.waiting.length).slice(0, MOST_SERVERS) : all;
    const most = Math.floor(ANSWER_CHARS / Math.max(1, servers.length));
    return {
      servers: servers.map((server) => fitted(server, most)),
      more: all.length - servers.length,
      keys: this.fleet.changeOfKeys() ?? null,
    };
  }

  #describe({ name, key, labels, state, lastSeenAt, shown }: ServerOfFleet): ShownServer {
    const isConnected = state === 'connected';
    const { told, fault = null } = (isConnected ? this.#watched.get(key) : undefined) ?? {};
    return {
      ...{ name, key, labels, state, version: shown?.version ?? null },
      last_seen_at: isConnected ? null : (lastSeenAt ?? null),
      is_frozen: told === undefined ? shown?.frozen === true : told.frozen !== null,
      frozen: told?.frozen ?? null,
      ahead_ms: told?.aheadMs ?? 0,
      waiting: told?.waiting ?? [],
      more_waiting: told === undefined ? 0 : Math.max(0, told.counts.waiting - told.waiting.length),
      running: told?.running ?? [],
      more_running: told === undefined ? 0 : Math.max(0, told.counts.running - told.running.length),
      ended: told?.ended ?? [],
      allowances: told?.allowances ?? [],
      // What a server refuses a question with is its own text.
      fault: isConnected && told === undefined ? (fault ?? '').slice(0, MOST_FAULT_CHARS) : null,
    };
  }
}

/** Characters of each item, counted once: all that many servers send, again and again, would hold the hub up. */
const counted = new WeakMap<object, number>();

function charsOf(items: readonly object[]): number {
  let sum = 0;
  for (const item of items) {
    const chars = counted.get(item) ?? JSON.stringify(item).length + 1;
    counted.set(item, chars);
    sum += chars;
  }
  return sum;
}

/** Returns the server cut to `chars` characters: ended commands are left out first, requests that wait last. */
function fitted(server: ShownServer, chars: number): ShownServer {
  let { waiting, running, ended, allowances } = server;
  const made = (): ShownServer => ({
    ...server,
    ...{ waiting, running, ended, allowances },
    more_waiting: server.more_waiting + server.waiting.length - waiting.length,
    more_running: server.more_running + server.running.length - running.length,
  });
  const bare = JSON.stringify({ ...server, waiting: [], running: [], ended: [], allowances: [] }).length;
  for (let one = made(); ; one = made()) {
    if (bare + [waiting, running, ended, allowances].reduce((sum, items) => sum + charsOf(items), 0) <= chars)
      return one;
    if (ended.length > 0) ended = [];
    else if (running.length > 0) running = running.slice(Math.ceil(running.length / 2));
    else if (allowances.length > 0) allowances = allowances.slice(0, allowances.length >> 1);
    else if (waiting.length > 0) waiting = waiting.slice(0, waiting.length >> 1);
    else return { ...one, labels: {} };
  }
}

function onceOf(signal: AbortSignal): OneShotEvent {
  const once = new OneShotEvent();
  if (signal.aborted) once.fire();
  signal.addEventListener('abort', () => once.fire(), { once: true });
  return once;
}
