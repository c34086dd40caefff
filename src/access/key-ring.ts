import { AddressList } from '../lib/addresses.ts';
import type { Clock } from '../lib/clock.ts';
import type { RefusedToken } from '../lib/errors.ts';
import { fileFingerprint } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { answerDueAt, type GrantKey, type GrantRecord, isGrant, isKept, isSealed } from './grant.ts';
import { hashToken, readTokens, TokenFileFault, type TokenRecord } from './token-file.ts';

/** A removed token is noticed within this time, a new one at once. */
const LOOK_MS = 500;

interface Key {
  /** `name#id`, the owner of sessions. */
  readonly principal: string;
  readonly profile: string;
  readonly expiresAt: number;
  /** A grant whose client root has not kept yet. */
  readonly isAwaiting: boolean;
  /** Undefined: from any address. */
  readonly ips: AddressList | undefined;
}

/** The tokens of a file: by hash, and for each principal the one that ends last. */
interface Keys {
  readonly byHash: ReadonlyMap<string, Key>;
  readonly byPrincipal: ReadonlyMap<string, Key>;
  /** Grants that root has sealed, by id. */
  readonly grants: ReadonlyMap<string, GrantRecord>;
  /** Names of grants with a wrong seal. */
  readonly unsealed: readonly GrantRecord[];
}

/** The tokens of a file, read again when it changes. */
export class KeyRing {
  #keys: Keys;
  #seen: string;
  #lookedMs: number;
  /** The current file cannot be used. */
  #isFaulty = false;
  /** Ids of grants that the agent itself has ended. */
  readonly #ended = new Set<string>();

  /** Reads the file. While it cannot be used, it has no tokens, and the fault is logged. */
  constructor(
    private readonly path: string,
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly grantKey?: GrantKey,
  ) {
    this.#seen = fileFingerprint(path);
    this.#lookedMs = clock.elapsed();
    this.#keys = this.#read('only the token of the settings works') ?? keysOf([], grantKey);
  }

  /** Returns the key of a token that may be used now and from `address`; undefined for any other. */
  principalOf(token: string, address: string): string | undefined {
    const hash = hashToken(token);
    this.#readAnew();
    // A new token must not count as a wrong one.
    if (!this.#keys.byHash.has(hash)) this.#look();
    const key = this.#keys.byHash.get(hash);
    if (key === undefined || this.clock.now() >= key.expiresAt) return undefined;
    return key.ips === undefined || key.ips.has(address) ? key.principal : undefined;
  }

  /** Returns the owner of a token that may not be used, and why; undefined for an unknown token. */
  refusalOf(token: string): RefusedToken | undefined {
    const key = this.#keys.byHash.get(hashToken(token));
    if (key === undefined) return undefined;
    const why =
      this.clock.now() >= key.expiresAt ? 'a token that has ended' : 'a token from an address that it does not allow';
    return { principal: key.principal, why };
  }

  /** Returns the profile of a principal; undefined when its token was removed or has ended. */
  profileOf(principal: string): string | undefined {
    this.#readAnew();
    const key = this.#keys.byPrincipal.get(principal);
    if (key === undefined || this.clock.now() >= key.expiresAt) return undefined;
    return this.#ended.has(principal.slice(principal.indexOf('#') + 1)) ? undefined : key.profile;
  }

  /** Returns true for a grant that allows nothing yet, because root has not kept its client. */
  isAwaiting(principal: string): boolean {
    this.#readAnew();
    if (this.#keys.byPrincipal.get(principal)?.isAwaiting !== true) return false;
    // A client that was just kept need not wait.
    this.#look();
    return this.#keys.byPrincipal.get(principal)?.isAwaiting === true;
  }

  /** Returns all grants that have not ended, as root last wrote them. */
  grants(): GrantRecord[] {
    this.#look();
    return [...this.#keys.grants.values()].filter((grant) => this.#isInForce(grant));
  }

  /** Returns the grant of this id; undefined when it was removed or has ended. */
  grant(id: string): GrantRecord | undefined {
    this.#readAnew();
    const grant = this.#keys.grants.get(id);
    return grant !== undefined && this.#isInForce(grant) ? grant : undefined;
  }

  /** Returns true when a grant that was sealed with another key has a valid code. */
  get hasCodeOfAnotherKey(): boolean {
    this.#look();
    return this.#keys.unsealed.some(({ grant }) => this.clock.now() < grant.code_expires_at);
  }

  /** Returns true when the file has a grant of this id, valid or not, or cannot be read. */
  hasGrant(id: string): boolean {
    const { grants, unsealed } = this.#keys;
    return this.#isFaulty || grants.has(id) || unsealed.some((grant) => grant.id === id);
  }

  /** Ends a grant until the agent is restarted, even if the file has it. */
  endGrant(id: string): void {
    this.#ended.add(id);
  }

  #isInForce({ name, id }: GrantRecord): boolean {
    const key = this.#keys.byPrincipal.get(`${name}#${id}`);
    return key !== undefined && !this.#ended.has(id) && this.clock.now() < key.expiresAt;
  }

  /** Returns true when `word` is a token of the file. */
  isToken(word: string): boolean {
    return this.#keys.byHash.has(hashToken(word));
  }

  #readAnew(): void {
    if (this.clock.elapsed() - this.#lookedMs >= LOOK_MS) this.#look();
  }

  /** When the file cannot be used, the tokens from before stay valid, and the fault is logged. */
  #look(): void {
    this.#lookedMs = this.clock.elapsed();
    const seen = fileFingerprint(this.path);
    if (seen === this.#seen) return;
    this.#seen = seen;
    const keys = this.#read('the tokens from before stay valid');
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
          'these grants are not used, because they were made with another AGENT3_GRANT_KEY. End them with agent3 token revoke',
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
    // The tokens of a grant are kept elsewhere.
    if (!isGrant(token)) byHash.set(sha256, key);
    byPrincipal.set(key.principal, key);
    // The token from before a rotation ends no later than the new one.
    for (const { sha256: before, until } of previous)
      byHash.set(before, { ...key, expiresAt: Math.min(expiresAt, until) });
  }
  return { byHash, byPrincipal, grants, unsealed };
}
