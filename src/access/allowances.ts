import type { Clock } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import type { Access } from './access.ts';
import type { Freeze } from './freeze.ts';
import type { Profile } from './profile.ts';

/** An allowance by a person, for one rule, one token and one directory. Times are milliseconds since the epoch. */
export interface Allowance {
  /** Nonce of the order that made it. */
  readonly id: string;
  readonly nonce: string;
  readonly principal: string;
  readonly profile: string;
  /** Number of the rule. */
  readonly rule: number;
  readonly rule_sha256: string;
  /** Text of the rule. */
  readonly words: string;
  /** Real directory of the commands. */
  readonly cwd: string;
  readonly until: number;
  readonly by: string;
  /** Returns true while the passkey that signed it is pinned. */
  readonly isPinned: () => boolean;
}

/** A valid allowance, and how many commands it has let run. */
export type Held = Allowance & { readonly uses: number };

export interface AllowancesDeps {
  readonly access: Access;
  readonly freeze: Freeze;
  readonly clock: Clock;
  /** Called with each allowance that ends, and the reason. */
  readonly ended: (allowance: Held, why: string) => void;
}

interface Entry {
  allowance: Held;
  /** Its end on the monotonic clock. */
  readonly overMs: number;
  /** The last freeze before it began. */
  readonly freeze: number | undefined;
}

/** Interval of checks for ended allowances, for the record and the page. */
const LOOK_MS = 1000;

/** Most allowances: a person cannot oversee more. */
const MOST = 32;

/** Returns the digest that is signed: of the rule and its whole profile. */
export function ruleDigest({ name, source }: Pick<Profile, 'name' | 'source'>, rule: number): string {
  return new Bun.CryptoHasher('sha256').update(JSON.stringify([name, source, rule])).digest('hex');
}

/** The valid allowances. They are only in memory, so that no file can restore one. */
export class Allowances {
  readonly #entries = new Map<string, Entry>();
  /** Ids and nonces of all allowances so far, so that no order makes a second one. */
  readonly #known = new Set<string>();
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #listeners: (() => void)[] = [];

  constructor(private readonly deps: AllowancesDeps) {}

  /** Calls `listener` when an allowance begins, is used, or ends. */
  subscribe(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Returns why an allowance cannot begin; undefined when it can. */
  faultOf({ id, nonce, until, ...allowance }: Allowance): string | undefined {
    if (this.#known.has(id) || this.#known.has(nonce)) return 'this order was already used';
    if (until <= this.deps.clock.now()) return 'its time has already ended';
    if (this.all().length >= MOST) return `there are already ${MOST} allowances: end one first`;
    return this.#lapseOf(allowance);
  }

  /** Begins an allowance that has no fault. */
  add(allowance: Allowance): void {
    const { clock, freeze } = this.deps;
    this.#known.add(allowance.id).add(allowance.nonce);
    this.#entries.set(allowance.id, {
      allowance: { ...allowance, uses: 0 },
      overMs: clock.elapsed() + (allowance.until - clock.now()),
      freeze: freeze.last?.since,
    });
    this.#timer ??= setInterval(() => this.#sweep(), LOOK_MS);
    this.#timer.unref();
    for (const listener of this.#listeners) listener();
  }

  /** Returns all valid allowances. */
  all(): Held[] {
    this.#sweep();
    return [...this.#entries.values()].map(({ allowance }) => allowance);
  }

  /** Returns those of a principal in a profile and a real directory, one for each rule. */
  of(principal: string, { name, source }: Profile, cwd: string): Held[] {
    if (this.#entries.size === 0) return [];
    const own = this.all().filter(
      (one) =>
        one.principal === principal && one.cwd === cwd && one.rule_sha256 === ruleDigest({ name, source }, one.rule),
    );
    return [...new Map(own.map((one) => [one.rule, one])).values()];
  }

  /** Returns true while all of these are valid. */
  areInForce(ids: readonly string[]): boolean {
    this.#sweep();
    return ids.every((id) => this.#entries.has(id));
  }

  /** Counts a command that these allowances let run. */
  count(ids: readonly string[]): void {
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) entry.allowance = { ...entry.allowance, uses: entry.allowance.uses + 1 };
    }
    for (const listener of this.#listeners) listener();
  }

  /** Ends an allowance. Returns false without one. */
  end(id: string, why: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    if (this.#entries.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.deps.ended(entry.allowance, why);
    for (const listener of this.#listeners) listener();
    return true;
  }

  #sweep(): void {
    for (const [id, entry] of [...this.#entries]) {
      const why = this.#endOf(entry);
      if (why !== undefined) this.end(id, why);
    }
  }

  #endOf({ allowance, overMs, freeze }: Entry): string | undefined {
    const { clock } = this.deps;
    if (clock.now() >= allowance.until || clock.elapsed() >= overMs) return 'its time has ended';
    if (this.deps.freeze.last?.since !== freeze) return 'the server was frozen';
    return this.#lapseOf(allowance);
  }

  #lapseOf({
    principal,
    rule,
    rule_sha256,
    isPinned,
  }: Pick<Allowance, 'principal' | 'rule' | 'rule_sha256' | 'isPinned'>) {
    try {
      const profile = this.deps.access.profileFor(principal);
      if (ruleDigest(profile, rule) !== rule_sha256) return 'the profile of its token was changed';
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return 'its token or its profile was removed';
    }
    return isPinned() ? undefined : 'the passkey that signed it was removed';
  }
}
