import type { FleetServer } from './door.ts';
import type { ServerState } from './envelope.ts';
import { keyOf, type ServerRecord } from './inventory.ts';
import { type PublicKey, tagOf, Verifier } from './keys.ts';

/** A server that says nothing for so long is not connected: two of its messages are missing. */
const SILENT_MS = 45_000;
/** Messages of one server within ten seconds; one that sends more is not listened to for a minute. */
const MOST_MESSAGES = 500;
const WINDOW_MS = 10_000;
const PUNISHED_MS = 60_000;
/** Of requests under way: two for each. */
const MOST_EXPECTED = 2000;

/** The instance of a request that no process takes: each answers `stale`, and names itself. */
export const NOBODY = '00000000-0000-0000-0000-000000000000';

/** So long two processes with one key are told of, after both have spoken: the disk of one is a copy of the other's. */
const DOUBLED_MS = 60_000;
/** Processes of before that are remembered. */
const MOST_BEFORE = 20;

/** A process of a server, and its clock as the hub saw it last. */
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
  /** Processes of before: one that speaks again was never gone. */
  readonly #before: string[] = [];
  #doubledMs = Number.NEGATIVE_INFINITY;
  #expected = 0;
  #window = { sinceMs: Number.NEGATIVE_INFINITY, count: 0 };

  constructor(public record: ServerRecord) {
    this.key = keyOf(record);
    this.verifier = new Verifier(this.key);
  }

  /** A request was sent: so many messages about it are no flood. */
  expect(messages: number): void {
    this.#expected = Math.min(MOST_EXPECTED, this.#expected + messages);
  }

  /** Counts a message; says whether there were too many, and for how many milliseconds to hear none. */
  flooded(now: number): number | undefined {
    if (this.#expected > 0) {
      this.#expected--;
      return undefined;
    }
    if (now - this.#window.sinceMs >= WINDOW_MS) this.#window = { sinceMs: now, count: 0 };
    return ++this.#window.count > MOST_MESSAGES ? PUNISHED_MS : undefined;
  }

  /** A message of it came: of which process, and what its clock showed. Gives whether the process is another than before. */
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

  /** Takes what it says of itself; false where that is no newer than what it said before. */
  show(state: ServerState): boolean {
    const before = this.#shown;
    if (before?.instance === state.instance && before.count >= state.count) return false;
    this.#shown = state;
    return true;
  }

  /** The process to call, and what its clock shows `aheadMs` from now. A server that has said nothing yet answers `stale`, and names it. */
  instanceAt(now: number, aheadMs: number): { readonly instance: string; readonly not_after: number } {
    const { id, clock, atMs } = this.#instance ?? { id: NOBODY, clock: 0, atMs: now };
    return { instance: id, not_after: clock + now - atMs + aheadMs };
  }

  /** Whether two machines have its key: which of them would run a call, nobody could say. */
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
