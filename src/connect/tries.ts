import type { GrantKey, GrantRecord } from '../access/grant.ts';
import type { Logger } from '../lib/logger.ts';
import { type CodeTry, noteTry } from './grant-state.ts';

/** Wrong codes, from anywhere, after which every code that is open is void. */
export const MAX_WRONG_CODES = 20;

/** Everybody can press Cancel: the terminal hears of so many for one code. */
const MAX_CANCELS = 20;

interface TriesDeps {
  readonly key: GrantKey;
  /** Where the states of the grants lie. */
  readonly directory: string;
  readonly logger: Logger;
}

/** Counts what comes instead of the one-time code of a grant, and leaves it on the disk for the terminal that waits. */
export class CodeTries {
  readonly #wrongCodes = new Map<string, number>();
  readonly #cancels = new Map<string, number>();

  constructor(private readonly deps: TriesDeps) {}

  /** Counts a code that did not fit. True for one too many. */
  countWrongCode(grant: GrantRecord, from: Pick<CodeTry, 'address' | 'kinds'>): boolean {
    const count = (this.#wrongCodes.get(grant.id) ?? 0) + 1;
    this.#wrongCodes.set(grant.id, count);
    if (count >= MAX_WRONG_CODES) return true;
    this.#note(grant, { count, ...from });
    return false;
  }

  /** Counts a Cancel without the code, which ends nothing. */
  countCancel(grant: GrantRecord, address: string): void {
    const cancels = (this.#cancels.get(grant.id) ?? 0) + 1;
    if (cancels > MAX_CANCELS) return;
    this.#cancels.set(grant.id, cancels);
    this.#note(grant, { count: this.#wrongCodes.get(grant.id) ?? 0, cancels, address, kinds: [] });
  }

  /** Forgets the grants that are gone. */
  sweep(isGone: (id: string) => boolean): void {
    for (const memory of [this.#wrongCodes, this.#cancels])
      for (const id of memory.keys()) if (isGone(id)) memory.delete(id);
  }

  /** What cannot be noted is counted all the same. */
  #note(grant: GrantRecord, last: Omit<CodeTry, 'most'>): void {
    const { directory, key, logger } = this.deps;
    try {
      noteTry(directory, key, grant, { most: MAX_WRONG_CODES, ...last });
    } catch (error) {
      logger.warn({ token: grant.name, err: error }, 'what came instead of a code is not on the disk');
    }
  }
}
