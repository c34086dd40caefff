import type { NatsConnection } from '@nats-io/transport-node';
import { MAX_MESSAGE_BYTES } from './envelope.ts';
import type { SigningKey } from './keys.ts';
import { INBOX } from './nats-config.ts';

export type { Msg, NatsConnection } from '@nats-io/transport-node';

export interface NatsAddress {
  readonly url: string;
  /** PEM of the certificate that NATS must have; undefined: any, for what proves itself in another way. */
  readonly certificate: string | undefined;
  readonly key: SigningKey;
  readonly name: string;
}

/** Between two attempts to connect: doubled each time up to the longest, with a part by chance, so that a fleet does not come at once. */
const BACKOFF = { firstMs: 100, longestMs: 30_000 } as const;
const CONNECT_TIMEOUT_MS = 5000;
/** A dead connection is known after two of these. */
const PING_MS = 10_000;

/** The pause before attempt `count`, counted from 0, in milliseconds; `random` is from 0 to 1. */
export function backoffMs(count: number, random: number): number {
  const whole = Math.min(BACKOFF.longestMs, BACKOFF.firstMs * 2 ** Math.min(count, 20));
  return Math.round(whole * (0.5 + random / 2));
}

/** Connects once. Rejects where that fails; `isRefused` is true for a key that NATS does not know. */
export async function connectOnce(address: NatsAddress, timeout = CONNECT_TIMEOUT_MS): Promise<NatsConnection> {
  return connectWith(address, { reconnect: false, timeout });
}

/** A connection that ends sooner was none: the next pause is longer than the one before it. */
const LASTED_MS = 5000;

/** The pauses of one connection. */
class Pauses {
  #count = 0;
  #ms = 0;
  #attemptMs = Number.NEGATIVE_INFINITY;
  #lasting: Timer | undefined;

  get ms(): number {
    return this.#ms;
  }

  /**
   * The pause, as the package asks for it before each attempt, more than once. It compares it with the clock of the
   * machine, which may be set back by hours: what is due by a clock that never jumps is due since ever.
   */
  due(): number {
    return performance.now() >= this.#attemptMs + this.#ms ? Number.NEGATIVE_INFINITY : this.#ms;
  }

  /** An attempt begins. */
  attempt(): void {
    this.#attemptMs = performance.now();
    this.#ms = backoffMs(this.#count++, Math.random());
  }

  /** A connection is there: when it has lasted, the pauses begin again after its end. */
  connected(): void {
    this.#lasting = setTimeout(() => {
      this.#count = 0;
      this.#ms = 0;
    }, LASTED_MS);
    this.#lasting.unref();
  }

  lost(): void {
    clearTimeout(this.#lasting);
  }
}

/** What is done with a connection that is kept up. */
export interface Kept {
  /** Ends the attempts before the first connection. */
  readonly isOver: () => boolean;
  /** The first connection is there. It is the same object after each reconnect; `connected` follows. */
  readonly opened: (connection: NatsConnection) => void;
  /** Messages pass, from now on, or again. */
  readonly connected: () => void;
  /** They pass no more. */
  readonly lost: () => void;
  /** An attempt has failed, or NATS says what it refuses. */
  readonly failed: (error: unknown) => void;
}

/** Connects, and again whenever the connection is lost, without end. Resolves when the connection was closed. */
export async function keepConnected(address: NatsAddress, kept: Kept): Promise<void> {
  const pauses = new Pauses();
  const connection = await firstConnection(address, kept, pauses);
  if (connection === undefined) return;
  kept.opened(connection);
  pauses.connected();
  kept.connected();
  let isUp = true;
  let isTold = false;
  for await (const status of connection.status()) {
    switch (status.type) {
      case 'reconnecting':
        isTold = false;
        pauses.attempt();
        break;
      case 'error':
        // One of each attempt: NATS may send as many as it likes.
        if (!isTold) kept.failed(status.error);
        isTold = true;
        break;
      case 'disconnect':
        pauses.lost();
        if (isUp) kept.lost();
        isUp = false;
        break;
      case 'reconnect': {
        const fault = roomFault(connection);
        if (fault === undefined) {
          isUp = true;
          pauses.connected();
          kept.connected();
        } else {
          kept.failed(fault);
          void connection.reconnect();
        }
      }
    }
  }
}

async function firstConnection(
  address: NatsAddress,
  { isOver, failed }: Kept,
  pauses: Pauses,
): Promise<NatsConnection | undefined> {
  while (!isOver()) {
    pauses.attempt();
    try {
      const connection = await connectWith(address, {
        maxReconnectAttempts: -1,
        reconnectDelayHandler: () => pauses.due(),
        // A key that was removed may be invited again: only the owner ends the attempts.
        ignoreAuthErrorAbort: true,
        timeout: CONNECT_TIMEOUT_MS,
      });
      const fault = roomFault(connection);
      if (fault === undefined) return connection;
      await connection.close();
      throw fault;
    } catch (error) {
      failed(error);
      await pause(pauses.ms);
    }
  }
  return undefined;
}

/** A pause keeps no process that has nothing else to do. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

/** Why a NATS is not used that takes shorter messages than the fleet sends: calls would run, and their answers not arrive. */
function roomFault({ info }: NatsConnection): Error | undefined {
  // None: the connection is lost again.
  if (info === undefined) return undefined;
  const bytes = info.max_payload ?? 0;
  if (bytes >= MAX_MESSAGE_BYTES) return undefined;
  return new Error(
    `NATS accepts messages of at most ${bytes} bytes, and the fleet needs max_payload: ${MAX_MESSAGE_BYTES}`,
  );
}

/** Whether NATS has refused the key: it is not invited, or was removed. */
export function isRefused(error: unknown): boolean {
  return error instanceof Error && error.name === 'AuthorizationError';
}

async function connectWith({ url, certificate, key, name }: NatsAddress, more: object): Promise<NatsConnection> {
  const [{ NodeTransport, nodeResolveHost }, { NatsConnectionImpl, setTransportFactory }] = await Promise.all([
    import('@nats-io/transport-node/lib/node_transport'),
    import('@nats-io/transport-node/lib/nats-base-client'),
  ]);
  /** As the package makes it, which leaves the connection of an attempt open that nobody has answered. */
  class Transport extends NodeTransport {
    override async close(error?: Error): Promise<void> {
      await super.close(error);
      this.discard();
    }
  }
  setTransportFactory({ factory: () => new Transport(), dnsResolveFn: nodeResolveHost });
  const tls = certificate === undefined ? { rejectUnauthorized: false } : { ca: certificate };
  return NatsConnectionImpl.connect({
    servers: url,
    tls,
    name,
    inboxPrefix: INBOX,
    noEcho: true,
    ignoreClusterUpdates: true,
    resolve: false,
    pingInterval: PING_MS,
    maxPingOut: 2,
    // Its own signature takes 20 ms.
    authenticator: (nonce?: string) => ({
      nkey: key.publicKey,
      sig: key.sign(Buffer.from(nonce ?? '')).toString('base64url'),
    }),
    ...more,
  });
}
