import { AddressList } from '../lib/addresses.ts';
import type { Clock } from '../lib/clock.ts';
import type { RefusedToken } from '../lib/errors.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Notices } from '../lib/notices.ts';
import { hashToken, readTokens, TokenFileFault, type TokenRecord } from './token-file.ts';

/** That a token is gone is seen within this; that it is there, at once. */
const LOOK_MS = 500;

interface Key {
  /** `name#id`: sessions belong to it. */
  readonly principal: string;
  readonly profile: string;
  readonly expiresAt: number;
  /** Undefined: from everywhere. */
  readonly ips: AddressList | undefined;
}

/** The tokens of a file: by their hashes, and the one of each principal that ends last. */
interface Keys {
  readonly byHash: ReadonlyMap<string, Key>;
  readonly byPrincipal: ReadonlyMap<string, Key>;
}

/** The tokens of a file, read anew when it changes. */
export class KeyRing {
  #keys: Keys;
  #seen: string;
  #lookedMs: number;

  /** Reads the file; when it cannot be used, there are no tokens until it can, and the owner hears of it. */
  constructor(
    private readonly path: string,
    private readonly clock: Clock,
    private readonly notices: Notices,
  ) {
    this.#seen = fileFingerprint(path);
    this.#lookedMs = clock.elapsed();
    this.#keys = this.#read('only that of the settings works') ?? keysOf([]);
  }

  /** Whose token this is, when it may be used now and from `address`; undefined for every other. */
  principalOf(token: string, address: string): string | undefined {
    const hash = hashToken(token);
    this.#readAnew();
    // A token that was just made is no wrong one.
    if (!this.#keys.byHash.has(hash)) this.#look();
    const key = this.#keys.byHash.get(hash);
    if (key === undefined || this.clock.now() >= key.expiresAt) return undefined;
    return key.ips === undefined || key.ips.has(address) ? key.principal : undefined;
  }

  /** Whose token this is though it may not be used, and why; undefined for one that nobody has. */
  refusalOf(token: string): RefusedToken | undefined {
    const key = this.#keys.byHash.get(hashToken(token));
    if (key === undefined) return undefined;
    const why =
      this.clock.now() >= key.expiresAt ? 'a token that has ended' : 'a token from an address that is not its';
    return { principal: key.principal, why };
  }

  /** The profile of a principal; undefined when its token is gone or has ended. */
  profileOf(principal: string): string | undefined {
    this.#readAnew();
    const key = this.#keys.byPrincipal.get(principal);
    return key !== undefined && this.clock.now() < key.expiresAt ? key.profile : undefined;
  }

  /** Whether `word` is a token of the file. */
  isToken(word: string): boolean {
    return this.#keys.byHash.has(hashToken(word));
  }

  #readAnew(): void {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
  }

  /** With a file that cannot be used, the tokens that were there go on, and the owner hears of it. */
  #look(): void {
    this.#lookedMs = this.clock.elapsed();
    const seen = fileFingerprint(this.path);
    if (seen === this.#seen) return;
    this.#seen = seen;
    const keys = this.#read('those from before stay in force');
    if (keys === undefined) return;
    this.#keys = keys;
    this.notices.info({ tokens: keys.byHash.size }, 'the tokens were read anew');
  }

  #read(otherwise: string): Keys | undefined {
    try {
      return keysOf(readTokens(this.path));
    } catch (error) {
      if (!(error instanceof TokenFileFault)) throw error;
      this.notices.warn({ fault: error.message }, `the file of tokens cannot be used: ${otherwise}`);
      return undefined;
    }
  }
}

function keysOf(tokens: readonly TokenRecord[]): Keys {
  const byHash = new Map<string, Key>();
  const byPrincipal = new Map<string, Key>();
  for (const { name, id, profile = 'full', sha256, expires_at, ips, previous = [] } of tokens) {
    const expiresAt = expires_at ?? Number.POSITIVE_INFINITY;
    const list = ips.length === 0 ? undefined : AddressList.parse(ips.join(',')).list;
    const key = { principal: `${name}#${id}`, profile, expiresAt, ips: list };
    byHash.set(sha256, key);
    byPrincipal.set(key.principal, key);
    // The token before a rotation ends no later than the one after it.
    for (const { sha256: before, until } of previous)
      byHash.set(before, { ...key, expiresAt: Math.min(expiresAt, until) });
  }
  return { byHash, byPrincipal };
}
