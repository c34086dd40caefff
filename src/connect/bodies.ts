import { TooManyRequests } from '../lib/errors.ts';
import { Shares } from '../lib/shares.ts';

/** Bodies that are read at once, of all networks. */
const MAX_BODIES = 64;

/**
 * The bodies that strangers send. A network that sends many slowly gets no more than its share. Many networks that do so
 * keep nobody out either: where all slots are taken, the oldest has to go, and an honest body has come in a moment.
 */
export class Bodies {
  readonly #slots = new Shares(MAX_BODIES);
  /** Each ends the reading of a body; the oldest is first. */
  readonly #stops = new Set<() => void>();

  /** What `read` gives. Throws `TooManyRequests`, and what `read` throws. */
  async read(network: string, read: () => Promise<string>): Promise<string> {
    if (!this.#slots.hasRoom(network)) {
      if (this.#slots.usedBy(network) > 0)
        throw new TooManyRequests(2, 'Too many requests are under way from there. Try it again.');
      const [oldest] = this.#stops;
      oldest?.();
    }
    const release = this.#slots.acquire(network);
    const { promise, reject } = Promise.withResolvers<never>();
    const stop = (): void => {
      this.#stops.delete(stop);
      reject(new TooManyRequests(2, 'The body did not arrive at once, and others wait. Send it whole.'));
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
