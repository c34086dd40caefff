import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { OneShotEvent } from '../lib/clock.ts';
import { Frozen } from '../lib/errors.ts';
import { fileFingerprint, replaceReadable } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { visibleLine } from '../lib/visible.ts';
import { Growth } from '../sessions/growth.ts';
import { distrust, readRootsJson } from './approval-request.ts';

/** One freeze of the server by its owner. Times are milliseconds since the epoch. */
const freezeSchema = Type.Object({
  since: Type.Integer(),
  by: Type.String(),
  reason: Type.String(),
  /** True when systemd does not freeze the commands, so the agent stops them with SIGSTOP. */
  signals: Type.Optional(Type.Literal(true)),
  /** Time of a freeze of a frozen server. A thaw that was signed before it is not valid. */
  again: Type.Optional(Type.Integer()),
  /** Time of the thaw. */
  until: Type.Optional(Type.Integer()),
  thawed_by: Type.Optional(Type.String()),
  /** The signed order of the console that thawed it, for the record. */
  thaw_signed: Type.Optional(Type.Unknown()),
});

export type FreezeEntry = Static<typeof freezeSchema>;

/** The last freezes, oldest first. After a restart, the agent computes from them how long time limits were paused. */
const historySchema = Type.Object({ freezes: Type.Array(freezeSchema) });

const MOST_FREEZES = 100;
export const MAX_REASON_CHARS = 200;

/** Returns the file of freezes, in the directory of decisions, which only root may write to. */
export function freezeFile(decisions: string): string {
  return join(decisions, 'frozen');
}

/** Used for a damaged file: in doubt, the server stays frozen. */
const DAMAGED: FreezeEntry = { since: 0, by: 'root', reason: 'the file with the reason is damaged' };

/** Returns the freezes of root in a directory of decisions; none when others may write to it. */
export function readFreezes(decisions: string): readonly FreezeEntry[] {
  if (distrust(decisions) !== undefined) return [];
  const file = freezeFile(decisions);
  const value = readRootsJson(file);
  if (Value.Check(historySchema, value)) return value.freezes;
  return value === undefined ? [] : [DAMAGED];
}

/** Returns the current freeze; undefined when the server is not frozen. */
export function currentFreeze(freezes: readonly FreezeEntry[]): FreezeEntry | undefined {
  const last = freezes.at(-1);
  return last?.until === undefined ? last : undefined;
}

/** Replaces the freezes in a directory of decisions, and syncs them. Throws the system's error. */
export function writeFreezes(decisions: string, freezes: readonly FreezeEntry[]): void {
  replaceReadable(freezeFile(decisions), JSON.stringify({ freezes: freezes.slice(-MOST_FREEZES) }), 'on disk');
}

/** Returns how long the server was frozen between two times, in milliseconds. */
export function frozenMs(freezes: readonly FreezeEntry[], from: number, to: number): number {
  const parts = freezes.map(({ since, until = to }) => Math.min(until, to) - Math.max(since, from));
  return parts.reduce((sum, part) => sum + Math.max(0, part), 0);
}

/** Interval of checks for a change, where the kernel does not report it. */
const LOOK_MS = 1000;

/** The state of the freeze. Every query reads the file, so nothing starts after the file exists. */
export class Freeze {
  #seen = '';
  #freezes: readonly FreezeEntry[] = [];
  #begun = new OneShotEvent();
  readonly #listeners = new Set<() => void>();
  #watching: Growth | undefined;

  /** `decisions` is the directory of root's decisions; without it, this agent cannot be frozen. */
  constructor(
    private readonly decisions: string | undefined,
    private readonly logger: Logger,
  ) {}

  /** Returns the current freeze. */
  get current(): FreezeEntry | undefined {
    this.#look();
    return currentFreeze(this.#freezes);
  }

  /** Returns the last freeze, even if it has ended. */
  get last(): FreezeEntry | undefined {
    this.#look();
    return this.#freezes.at(-1);
  }

  get isFrozen(): boolean {
    return this.current !== undefined;
  }

  /** Fires when the server is frozen. While it is frozen, it has fired. */
  get begun(): OneShotEvent {
    this.#look();
    return this.#begun;
  }

  /** Throws `Frozen` while the server is frozen. `consequence` is a sentence about the effect on the call. */
  require(consequence = 'Nothing was done.'): void {
    const { current } = this;
    if (current !== undefined) throw new Frozen(reasonOf(current), consequence);
  }

  /** Returns how long the server was frozen between two times of the clock, in milliseconds. */
  msBetween(from: number, to: number): number {
    this.#look();
    return frozenMs(this.#freezes, from, to);
  }

  /** Calls `listener` after each change. Returns a function that removes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the server is not frozen, or when `signal` aborts. */
  thawed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.isFrozen && !signal.aborted) return;
        unsubscribe();
        signal.removeEventListener('abort', check);
        resolve();
      };
      const unsubscribe = this.subscribe(check);
      signal.addEventListener('abort', check);
      check();
    });
  }

  /** Watches for changes until `end` fires. */
  watch(end: OneShotEvent): void {
    const { decisions } = this;
    if (decisions === undefined) return;
    const timer = setInterval(() => {
      this.#look();
      if (this.#watching === undefined && distrust(decisions) === undefined) this.#follow(decisions);
    }, LOOK_MS);
    timer.unref();
    if (distrust(decisions) === undefined) this.#follow(decisions);
    end.subscribe(() => {
      clearInterval(timer);
      this.#watching?.[Symbol.dispose]();
    });
  }

  #follow(decisions: string): void {
    this.#watching = new Growth(decisions);
    this.#watching.each(() => this.#look());
  }

  #look(): void {
    const { decisions } = this;
    if (decisions === undefined) return;
    const now = fileFingerprint(freezeFile(decisions));
    if (now === this.#seen) return;
    this.#seen = now;
    const before = currentFreeze(this.#freezes);
    this.#freezes = now === 'none' ? [] : readFreezes(decisions);
    const after = currentFreeze(this.#freezes);
    if (after === DAMAGED)
      this.logger.warn({ file: freezeFile(decisions) }, 'the file is damaged, so the server counts as frozen');
    if (before?.since === after?.since && before?.signals === after?.signals) return;
    if (after === undefined) this.#begun = new OneShotEvent();
    else this.#begun.fire();
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Returns the reason of a freeze, for messages. */
export function reasonOf({ reason }: FreezeEntry): string {
  return visibleLine(reason).slice(0, MAX_REASON_CHARS).toWellFormed() || 'no reason was given';
}
