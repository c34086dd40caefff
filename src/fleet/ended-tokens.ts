import type { Access } from '../access/access.ts';
import { AccessLapsed } from '../lib/errors.ts';
import type { PublicKey } from './keys.ts';

export interface EndedTokensDeps {
  readonly access: Pick<Access, 'promisedProfile'>;
  /** Sends a server the end of a token of the hub. Resolves to true when the server has confirmed, or is no longer in the fleet. */
  readonly tell: (server: PublicKey, principal: string) => Promise<boolean>;
}

/** How often tokens are checked. */
const LOOK_MS = 1000;
/** Pause before servers that did not confirm are told again. */
const AGAIN_MS = 10_000;

/** Remembers which tokens of the hub were used on which servers. When a token ends, it informs those servers, which deny what waits for approval. */
export class EndedTokens implements Disposable {
  readonly #used = new Map<string, Set<PublicKey>>();
  /** By principal: when to tell its servers again. */
  readonly #againMs = new Map<string, number>();
  readonly #timer: Timer;

  constructor(private readonly deps: EndedTokensDeps) {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Records that a principal calls a server. */
  used(principal: string, server: PublicKey): void {
    const servers = this.#used.get(principal) ?? new Set();
    this.#used.set(principal, servers.add(server));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const [principal, servers] of this.#used)
      if (performance.now() >= (this.#againMs.get(principal) ?? 0) && this.#hasEnded(principal))
        void this.#tellAll(principal, servers);
  }

  #hasEnded(principal: string): boolean {
    try {
      this.deps.access.promisedProfile(principal);
      return false;
    } catch (error) {
      if (error instanceof AccessLapsed) return error.gone === 'token';
      throw error;
    }
  }

  async #tellAll(principal: string, servers: Set<PublicKey>): Promise<void> {
    this.#againMs.set(principal, performance.now() + AGAIN_MS);
    const tell = async (server: PublicKey): Promise<void> => {
      if (await this.deps.tell(server, principal)) servers.delete(server);
    };
    await Promise.all([...servers].map(tell));
    if (servers.size > 0) return;
    this.#used.delete(principal);
    this.#againMs.delete(principal);
  }
}
