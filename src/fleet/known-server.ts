import type { FleetServer } from './door.ts';
import type { ServerState } from './envelope.ts';
import { keyOf, type ServerRecord } from './inventory.ts';
import { type PublicKey, tagOf, Verifier } from './keys.ts';

/** A server that sends nothing for this long is not connected: two of its messages are missing. */
const SILENT_MS = 45_000;
/** Limit for messages of one server within ten seconds. The hub ignores a server that sends more for a minute. */
const MOST_MESSAGES = 500;
const WINDOW_MS = 10_000;
const PUNISHED_MS = 60_000;
/** Limit for expected replies: two for each request under way. */
const MOST_EXPECTED = 2000;

/** The instance of a request that no process takes: each answers `stale`, and names itself. */
export const NOBODY = '00000000-0000-0000-0000-000000000000';

/** How long two processes with one key are reported after both have sent a message: one disk is a copy of the other. */
const DOUBLED_MS = 60_000;
/** Limit for earlier processes that are remembered. */
const MOST_BEFORE = 20;

/** A process of a server, and the last clock that the hub has seen of it. */
interface Instance {
  readonly id: string;
  readonly clock: number;
  readonly atMs: number;
}

/** What the hub knows of a server. `now` is in milliseconds from an arbitrary start. */
export class KnownServer {
  readonly key: PublicKey;
  readonly verifier: Verifier;
  #instance: Instance | undefined;
  #shown: ServerState | undefined;
  #lastSeenAt: number | undefined;
  /** Earlier processes. One that sends a message again never ended. */
  readonly #before: string[] = [];
  #doubledMs = Number.NEGATIVE_INFINITY;
  #expected = 0;
  #window = { sinceMs: Number.NEGATIVE_INFINITY, count: 0 };

  constructor(public record: ServerRecord) {
    this.key = keyOf(record);
    this.verifier = new Verifier(this.key);
  }

  /** Expects this many messages about a request. They do not count for the limit. */
  expect(messages: number): void {
    this.#expected = Math.min(MOST_EXPECTED, this.#expected + messages);
  }

  /** Counts a message. Returns for how many milliseconds to ignore the server, where it sent too many. */
  flooded(now: number): number | undefined {
    if (this.#expected > 0) {
      this.#expected--;
      return undefined;
    }
    if (now - this.#window.sinceMs >= WINDOW_MS) this.#window = { sinceMs: now, count: 0 };
    return ++this.#window.count > MOST_MESSAGES ? PUNISHED_MS : undefined;
  }

  /** Records a message: its process and the clock of that process. Returns whether the process differs from the last one. */
  heard({ instance, clock }: { readonly instance: string; readonly clock: number }, now: number): boolean {
    const before = this.#instance;
    if (this.#before.includes(instance)) this.#doubledMs = now;
    if (before !== undefined && before.id !== instance && this.#before.push(before.id) > MOST_BEFORE)
      this.#before.shift();
    this.#instance = { id: instance, clock, atMs: now };
    this.#lastSeenAt = Date.now();
    return before !== undefined && before.id !== instance;
  }

  /** The number of its list of passkeys, as it says. */
  get keys(): number | undefined {
    return this.#shown?.keys;
  }

  /** Requests that wait for a person there, as it says. */
  get waiting(): number {
    return this.#shown?.waiting ?? 0;
  }

  /** Accepts a state of the server. Returns false where that is not newer than the last one. */
  show(state: ServerState): boolean {
    const before = this.#shown;
    if (before?.instance === state.instance && before.count >= state.count) return false;
    this.#shown = state;
    return true;
  }

  /** Returns the process to call, and its clock `aheadMs` from now. A server that has sent nothing yet answers `stale` with its process. */
  instanceAt(now: number, aheadMs: number): { readonly instance: string; readonly not_after: number } {
    const { id, clock, atMs } = this.#instance ?? { id: NOBODY, clock: 0, atMs: now };
    return { instance: id, not_after: clock + now - atMs + aheadMs };
  }

  /** Returns whether two machines have its key: it would be unknown which of them runs a call. */
  isDoubled(now: number): boolean {
    return now - this.#doubledMs < DOUBLED_MS;
  }

  isConnected(now: number): boolean {
    return this.#instance !== undefined && now - this.#instance.atMs < SILENT_MS && this.#shown?.leaving !== true;
  }

  describe(now: number, isHubConnected: boolean): FleetServer {
    const { name, labels } = this.record;
    return {
      ...{ name, key: this.key, tag: tagOf(this.key), labels },
      state: isHubConnected && this.isConnected(now) ? 'connected' : 'unreachable',
      lastSeenAt: this.#lastSeenAt,
      shown: this.#shown,
    };
  }
}
