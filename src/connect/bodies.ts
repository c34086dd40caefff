import { TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';

/** Most bodies that are read at once, of all networks. */
const MAX_BODIES = 64;

/**
 * Limits the bodies of requests without a token. A network that sends many slowly gets only its share. When all slots are
 * taken, the oldest body is dropped, so that many slow networks cannot block others: an honest body arrives at once.
 */
export class Bodies {
  readonly #slots = new Shares(MAX_BODIES);
  /** Functions that abort the reading of a body, oldest first. */
  readonly #stops = new Set<() => void>();

  /** Returns the result of `read`. Throws `TooManyRequests`, and what `read` throws. */
  async read(network: string, read: () => Promise<string>): Promise<string> {
    if (!this.#slots.hasRoom(network)) {
      if (this.#slots.usedBy(network) > 0)
        throw new TooManyRequests(2, 'Too many requests at once from this network. Try again.');
      const [oldest] = this.#stops;
      oldest?.();
    }
    const release = this.#slots.acquire(network);
    const { promise, reject } = Promise.withResolvers<never>();
    const stop = (): void => {
      this.#stops.delete(stop);
      reject(new TooManyRequests(2, 'The body arrived too slowly while others waited. Send all of it at once.'));
    };
    this.#stops.add(stop);
    try {
      return await Promise.race([read(), promise]);
    } finally {
      this.#stops.delete(stop);
      release();
    }
  }
}
