import type { GrantKey, GrantRecord } from '../access/grant.ts';
import type { Logger } from '../lib/logger.ts';
import { type CodeTry, noteTry } from './grant-state.ts';

/** Wrong codes, from anywhere, that make every open code void. */
export const MAX_WRONG_CODES = 20;

/** Most cancels that are reported for one code, because anyone can press Cancel. */
const MAX_CANCELS = 20;

interface TriesDeps {
  readonly key: GrantKey;
  /** The directory of the states of grants. */
  readonly directory: string;
  readonly logger: Logger;
}

/** Counts wrong codes and cancels, and writes them to the disk for the waiting terminal. */
export class CodeTries {
  readonly #wrongCodes = new Map<string, number>();
  readonly #cancels = new Map<string, number>();

  constructor(private readonly deps: TriesDeps) {}

  /** Counts a wrong code. Returns true when there are too many. */
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

  /** Forgets removed grants. */
  sweep(isGone: (id: string) => boolean): void {
    for (const memory of [this.#wrongCodes, this.#cancels])
      for (const id of memory.keys()) if (isGone(id)) memory.delete(id);
  }

  /** Counts even when it cannot write. */
  #note(grant: GrantRecord, last: Omit<CodeTry, 'most'>): void {
    const { directory, key, logger } = this.deps;
    try {
      noteTry(directory, key, grant, { most: MAX_WRONG_CODES, ...last });
    } catch (error) {
      logger.warn({ token: grant.name, err: error }, 'a wrong code or a cancel could not be written to the disk');
    }
  }
}
