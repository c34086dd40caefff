import { answerDueAt, type GrantKey, type GrantRecord, isKept } from '../access/grant.ts';
import type { KeyRing } from '../access/key-ring.ts';
import type { Trail } from '../audit/trail.ts';
import type { Clock } from '../lib/clock.ts';

interface DecisionsDeps {
  readonly keys: KeyRing;
  readonly key: GrantKey;
  readonly trail: Trail;
  readonly clock: Clock;
}

/** Records what the owner does with grants, as seen in the file of tokens: code made, kept, ended. */
export class OwnerDecisions {
  /** The grants that were valid at the last look. */
  readonly #known = new Map<string, GrantRecord>();

  constructor(private readonly deps: DecisionsDeps) {}

  /** Compares the valid grants with the last look. `open`: those whose codes wait; `isOver`: its end is recorded. */
  note(inForce: readonly GrantRecord[], open: readonly GrantRecord[], isOver: (id: string) => boolean): void {
    const { key, trail } = this.deps;
    for (const grant of open) if (!this.#known.has(grant.id)) this.#noteCode(grant);
    const gone = new Map(this.#known);
    for (const grant of inForce) {
      const before = this.#known.get(grant.id);
      gone.delete(grant.id);
      this.#known.set(grant.id, grant);
      if (before === undefined || before === grant) continue;
      if (!isKept(key, before) && isKept(key, grant)) trail.grant('kept', onRecord(grant));
    }
    for (const grant of gone.values()) {
      this.#known.delete(grant.id);
      if (!isOver(grant.id)) trail.grant('ended', onRecord(grant), { why: this.#whyEnded(grant) });
    }
  }

  #noteCode(record: GrantRecord): void {
    const { client, code_expires_at } = record.grant;
    const until = new Date(code_expires_at).toISOString();
    const isKeptBefore = isKept(this.deps.key, record);
    this.deps.trail.grant('code made', onRecord(record), {
      client,
      profile: record.profile,
      code_until: until,
      kept: isKeptBefore,
    });
  }

  #whyEnded(grant: GrantRecord): string {
    const { keys, key, clock } = this.deps;
    const now = clock.now();
    if (grant.expires_at !== null && now >= grant.expires_at) return 'its lifetime is over';
    if (isKept(key, grant)) return keys.hasGrant(grant.id) ? 'its entry was changed' : 'revoked';
    return now >= answerDueAt(grant) ? 'nobody kept its client' : 'cancelled before its client was kept';
  }
}

/** Returns how the record names a grant. */
export function onRecord({ name, id }: GrantRecord): { readonly id: string; readonly principal: string } {
  return { id, principal: `${name}#${id}` };
}
