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
  /** systemd does not hold the commands: the agent stops them by SIGSTOP. */
  signals: Type.Optional(Type.Literal(true)),
  /** When somebody froze what was frozen already: a thaw that was signed before does not undo that. */
  again: Type.Optional(Type.Integer()),
  /** The thaw. */
  until: Type.Optional(Type.Integer()),
  thawed_by: Type.Optional(Type.String()),
  /** The signed order that thawed it at the console, for the record. */
  thaw_signed: Type.Optional(Type.Unknown()),
});

export type FreezeEntry = Static<typeof freezeSchema>;

/** All of the last freezes, the oldest first: an agent that was not there knows by them how long clocks stood still. */
const historySchema = Type.Object({ freezes: Type.Array(freezeSchema) });

const MOST_FREEZES = 100;
export const MAX_REASON_CHARS = 200;

/** Where the owner's freezes are kept, in the directory of his decisions, which only root may write to. */
export function freezeFile(decisions: string): string {
  return join(decisions, 'frozen');
}

/** In place of a file of root's that cannot be read: in doubt the server stays frozen. */
const DAMAGED: FreezeEntry = { since: 0, by: 'root', reason: 'the file that says why is damaged' };

/** The freezes that root has left in a directory of decisions; none in a directory that others may write to. */
export function readFreezes(decisions: string): readonly FreezeEntry[] {
  if (distrust(decisions) !== undefined) return [];
  const file = freezeFile(decisions);
  const value = readRootsJson(file);
  if (Value.Check(historySchema, value)) return value.freezes;
  return value === undefined ? [] : [DAMAGED];
}

/** The freeze that holds now; undefined where the server is not frozen. */
export function currentFreeze(freezes: readonly FreezeEntry[]): FreezeEntry | undefined {
  const last = freezes.at(-1);
  return last?.until === undefined ? last : undefined;
}

/** Replaces the freezes in a directory of decisions, on the disk when it returns. Throws the system's error. */
export function writeFreezes(decisions: string, freezes: readonly FreezeEntry[]): void {
  replaceReadable(freezeFile(decisions), JSON.stringify({ freezes: freezes.slice(-MOST_FREEZES) }), 'on disk');
}

/** How long the server was frozen between two moments, in milliseconds. */
export function frozenMs(freezes: readonly FreezeEntry[], from: number, to: number): number {
  const parts = freezes.map(({ since, until = to }) => Math.min(until, to) - Math.max(since, from));
  return parts.reduce((sum, part) => sum + Math.max(0, part), 0);
}

/** Where the kernel tells nothing of a change, this is how late it is seen by those who wait. */
const LOOK_MS = 1000;

/** Whether the owner has frozen the server. Every question looks at the file, so nothing begins after the file is there. */
export class Freeze {
  #seen = '';
  #freezes: readonly FreezeEntry[] = [];
  #begun = new OneShotEvent();
  readonly #listeners = new Set<() => void>();
  #watching: Growth | undefined;

  /** `decisions` is the directory that only root writes to; undefined: this agent cannot be frozen. */
  constructor(
    private readonly decisions: string | undefined,
    private readonly logger: Logger,
  ) {}

  /** The freeze that holds now. */
  get current(): FreezeEntry | undefined {
    this.#look();
    return currentFreeze(this.#freezes);
  }

  /** The last freeze, also one that is over. */
  get last(): FreezeEntry | undefined {
    this.#look();
    return this.#freezes.at(-1);
  }

  get isFrozen(): boolean {
    return this.current !== undefined;
  }

  /** Fires when the server is frozen; has fired already while it is. */
  get begun(): OneShotEvent {
    this.#look();
    return this.#begun;
  }

  /** Throws `Frozen` while the server is frozen; `consequence` is a sentence on what that means for the call. */
  require(consequence = 'Nothing was done.'): void {
    const { current } = this;
    if (current !== undefined) throw new Frozen(reasonOf(current), consequence);
  }

  /** How long the server was frozen between two moments of the clock, in milliseconds. */
  msBetween(from: number, to: number): number {
    this.#look();
    return frozenMs(this.#freezes, from, to);
  }

  /** Calls `listener` after each change; gives a function that takes it off. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the server is not frozen, at once where it is not, or when `signal` aborts. */
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

  /** Looks for changes from now on, until `end` happens. */
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
    if (after === DAMAGED) this.logger.warn({ file: freezeFile(decisions) }, 'damaged: the server counts as frozen');
    if (before?.since === after?.since && before?.signals === after?.signals) return;
    if (after === undefined) this.#begun = new OneShotEvent();
    else this.#begun.fire();
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The reason of a freeze, for messages. */
export function reasonOf({ reason }: FreezeEntry): string {
  return visibleLine(reason).slice(0, MAX_REASON_CHARS).toWellFormed() || 'no reason was given';
}
