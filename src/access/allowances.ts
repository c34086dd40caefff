import type { Clock } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import type { Access } from './access.ts';
import type { Freeze } from './freeze.ts';
import type { Profile } from './profile.ts';

/** What a person has allowed: what one rule asks of one token in one directory, until a moment, in milliseconds since the epoch. */
export interface Allowance {
  /** Of the order that made it. */
  readonly id: string;
  readonly nonce: string;
  readonly principal: string;
  readonly profile: string;
  /** The number of the rule. */
  readonly rule: number;
  readonly rule_sha256: string;
  /** What the rule says. */
  readonly words: string;
  /** The real directory of the commands. */
  readonly cwd: string;
  readonly until: number;
  readonly by: string;
  /** Whether the passkey that has signed it is still pinned. */
  readonly isPinned: () => boolean;
}

/** An allowance in force, and how many commands it has let run. */
export type Held = Allowance & { readonly uses: number };

export interface AllowancesDeps {
  readonly access: Access;
  readonly freeze: Freeze;
  readonly clock: Clock;
  /** Told of each that ends, and why. */
  readonly ended: (allowance: Held, why: string) => void;
}

interface Entry {
  allowance: Held;
  /** What the clock that nobody sets shows when it is over. */
  readonly overMs: number;
  /** The last freeze when it began. */
  readonly freeze: number | undefined;
}

/** How often it is looked whether one has ended, so that its end is on record and on the page. */
const LOOK_MS = 1000;

/** More than a person can oversee. */
const MOST = 32;

/** What a signature is over: the rule with all of its profile. */
export function ruleDigest({ name, source }: Pick<Profile, 'name' | 'source'>, rule: number): string {
  return new Bun.CryptoHasher('sha256').update(JSON.stringify([name, source, rule])).digest('hex');
}

/** The allowances in force. They are kept in memory alone: no file can bring one back. */
export class Allowances {
  readonly #entries = new Map<string, Entry>();
  /** Ids and nonces of all that there were: no order makes a second one, whatever the clock says. */
  readonly #known = new Set<string>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #changed: () => void = () => {};

  constructor(private readonly deps: AllowancesDeps) {}

  /** Calls `listener` when one begins, is used, or ends. */
  subscribe(listener: () => void): void {
    this.#changed = listener;
  }

  /** Why an allowance cannot begin; undefined where it can. */
  faultOf({ id, nonce, until, ...allowance }: Allowance): string | undefined {
    if (this.#known.has(id) || this.#known.has(nonce)) return 'it has made an allowance before';
    if (until <= this.deps.clock.now()) return 'the time that it allows is over';
    if (this.all().length >= MOST) return `there are ${MOST} allowances already: end one first`;
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
    this.#changed();
  }

  /** All in force. */
  all(): Held[] {
    this.#sweep();
    return [...this.#entries.values()].map(({ allowance }) => allowance);
  }

  /** Those of a principal in a profile and a real directory, one for each rule. */
  of(principal: string, { name, source }: Profile, cwd: string): Held[] {
    if (this.#entries.size === 0) return [];
    const own = this.all().filter(
      (one) =>
        one.principal === principal && one.cwd === cwd && one.rule_sha256 === ruleDigest({ name, source }, one.rule),
    );
    return [...new Map(own.map((one) => [one.rule, one])).values()];
  }

  /** Whether all of these are still in force. */
  areInForce(ids: readonly string[]): boolean {
    this.#sweep();
    return ids.every((id) => this.#entries.has(id));
  }

  /** A command runs by these. */
  count(ids: readonly string[]): void {
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) entry.allowance = { ...entry.allowance, uses: entry.allowance.uses + 1 };
    }
    this.#changed();
  }

  /** Ends one; whether there was one. */
  end(id: string, why: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    if (this.#entries.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.deps.ended(entry.allowance, why);
    this.#changed();
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
    if (clock.now() >= allowance.until || clock.elapsed() >= overMs) return 'its time is over';
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
      return 'its token or its profile is gone';
    }
    return isPinned() ? undefined : 'the passkey that signed it was removed';
  }
}
