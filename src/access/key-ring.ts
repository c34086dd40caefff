import { AddressList } from '../lib/addresses.ts';
import type { Clock } from '../lib/clock.ts';
import type { RefusedToken } from '../lib/errors.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { answerDueAt, type GrantKey, type GrantRecord, isGrant, isKept, isSealed } from './grant.ts';
import { hashToken, readTokens, TokenFileFault, type TokenRecord } from './token-file.ts';

/** That a token is gone is seen within this; that it is there, at once. */
const LOOK_MS = 500;

interface Key {
  /** `name#id`: sessions belong to it. */
  readonly principal: string;
  readonly profile: string;
  readonly expiresAt: number;
  /** A grant that root has not said yes to yet. */
  readonly isAwaiting: boolean;
  /** Undefined: from everywhere. */
  readonly ips: AddressList | undefined;
}

/** The tokens of a file: by their hashes, and the one of each principal that ends last. */
interface Keys {
  readonly byHash: ReadonlyMap<string, Key>;
  readonly byPrincipal: ReadonlyMap<string, Key>;
  /** Those that root has sealed, by their ids. */
  readonly grants: ReadonlyMap<string, GrantRecord>;
  /** Grants that nobody could have sealed. */
  readonly unsealed: readonly GrantRecord[];
}

/** The tokens of a file, read again when it changes. */
export class KeyRing {
  #keys: Keys;
  #seen: string;
  #lookedMs: number;
  /** The file as it is now cannot be used. */
  #isFaulty = false;
  /** Ids of grants that the agent itself has ended. */
  readonly #ended = new Set<string>();

  /** Reads the file; when it cannot be used, there are no tokens until it can, and the owner hears of it. */
  constructor(
    private readonly path: string,
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly grantKey?: GrantKey,
  ) {
    this.#seen = fileFingerprint(path);
    this.#lookedMs = clock.elapsed();
    this.#keys = this.#read('only that of the settings works') ?? keysOf([], grantKey);
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
    if (key === undefined || this.clock.now() >= key.expiresAt) return undefined;
    return this.#ended.has(principal.slice(principal.indexOf('#') + 1)) ? undefined : key.profile;
  }

  /** Whether a principal is a grant that allows nothing yet, because root has not said yes to its client. */
  isAwaiting(principal: string): boolean {
    this.#readAnew();
    if (this.#keys.byPrincipal.get(principal)?.isAwaiting !== true) return false;
    // Whoever has just been kept need not wait.
    this.#look();
    return this.#keys.byPrincipal.get(principal)?.isAwaiting === true;
  }

  /** Every grant that has not ended, as root wrote it last. */
  grants(): GrantRecord[] {
    this.#look();
    return [...this.#keys.grants.values()].filter((grant) => this.#isInForce(grant));
  }

  /** The grant of this id; undefined when it is gone or has ended. */
  grant(id: string): GrantRecord | undefined {
    this.#readAnew();
    const grant = this.#keys.grants.get(id);
    return grant !== undefined && this.#isInForce(grant) ? grant : undefined;
  }

  /** Whether a grant that was sealed with another key has a code that has not expired. */
  get hasCodeOfAnotherKey(): boolean {
    this.#look();
    return this.#keys.unsealed.some(({ grant }) => this.clock.now() < grant.code_expires_at);
  }

  /** Whether the file has a grant of this id, in force or not; true as well while nobody can read it. */
  hasGrant(id: string): boolean {
    const { grants, unsealed } = this.#keys;
    return this.#isFaulty || grants.has(id) || unsealed.some((grant) => grant.id === id);
  }

  /** Ends a grant, until the agent is restarted, whatever the file says. */
  endGrant(id: string): void {
    this.#ended.add(id);
  }

  #isInForce({ name, id }: GrantRecord): boolean {
    const key = this.#keys.byPrincipal.get(`${name}#${id}`);
    return key !== undefined && !this.#ended.has(id) && this.clock.now() < key.expiresAt;
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
    this.logger.info({ tokens: keys.byHash.size }, 'the tokens were read again');
  }

  #read(otherwise: string): Keys | undefined {
    try {
      const keys = keysOf(readTokens(this.path), this.grantKey);
      this.#isFaulty = false;
      if (keys.unsealed.length > 0)
        this.logger.warn(
          { names: keys.unsealed.map(({ name }) => name) },
          'these grants are not used: they were not made with AGENT3_GRANT_KEY as it is now. End them with agent3 token revoke',
        );
      return keys;
    } catch (error) {
      if (!(error instanceof TokenFileFault)) throw error;
      this.#isFaulty = true;
      this.logger.warn({ fault: error.message }, `the file of tokens cannot be used: ${otherwise}`);
      return undefined;
    }
  }
}

function keysOf(tokens: readonly TokenRecord[], grantKey: GrantKey | undefined): Keys {
  const byHash = new Map<string, Key>();
  const byPrincipal = new Map<string, Key>();
  const grants = new Map<string, GrantRecord>();
  const unsealed: GrantRecord[] = [];
  for (const token of tokens) {
    const { name, id, profile = 'full', sha256, expires_at, ips, previous = [] } = token;
    let isAwaiting = false;
    let expiresAt = expires_at ?? Number.POSITIVE_INFINITY;
    if (isGrant(token)) {
      if (grantKey === undefined || !isSealed(grantKey, token)) {
        unsealed.push(token);
        continue;
      }
      grants.set(id, token);
      isAwaiting = !isKept(grantKey, token);
      if (isAwaiting) expiresAt = Math.min(expiresAt, answerDueAt(token));
    }
    const list = ips.length === 0 ? undefined : AddressList.parse(ips.join(',')).list;
    const key = { principal: `${name}#${id}`, profile, expiresAt, isAwaiting, ips: list };
    // A grant's own tokens are made and known elsewhere.
    if (!isGrant(token)) byHash.set(sha256, key);
    byPrincipal.set(key.principal, key);
    // The token before a rotation ends no later than the one after it.
    for (const { sha256: before, until } of previous)
      byHash.set(before, { ...key, expiresAt: Math.min(expiresAt, until) });
  }
  return { byHash, byPrincipal, grants, unsealed };
}
