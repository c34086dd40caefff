import type { NatsConnection } from '@nats-io/transport-node';
import { delay } from '../lib/clock.ts';
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

/** Connects once. Rejects where that fails: `isRefused` tells a key that NATS does not know. */
export async function connectOnce(address: NatsAddress, timeout = CONNECT_TIMEOUT_MS): Promise<NatsConnection> {
  return connectWith(address, { reconnect: false, timeout });
}

/** The pauses of one connection. The package asks for the pause more than once before each attempt. */
class Pauses {
  #count = 0;
  #ms = backoffMs(0, Math.random());

  get ms(): number {
    return this.#ms;
  }

  /** An attempt begins. */
  lengthen(): void {
    this.#ms = backoffMs(++this.#count, Math.random());
  }

  /** A connection is there: after its end, they begin again. */
  reset(): void {
    this.#count = 0;
    this.#ms = backoffMs(0, Math.random());
  }

  async follow(connection: NatsConnection): Promise<void> {
    this.reset();
    for await (const { type } of connection.status()) {
      if (type === 'reconnecting') this.lengthen();
      else if (type === 'reconnect') this.reset();
    }
  }
}

/** Connects, and again whenever the connection is lost, without end. Resolves with the first connection; `isOver` ends the attempts before it. */
export async function connectForGood(
  address: NatsAddress,
  isOver: () => boolean,
  failed: (error: unknown) => void,
): Promise<NatsConnection | undefined> {
  const pauses = new Pauses();
  while (!isOver()) {
    try {
      const connection = await connectWith(address, {
        maxReconnectAttempts: -1,
        reconnectDelayHandler: () => pauses.ms,
        // A key that was removed may be invited again: only the owner ends the attempts.
        ignoreAuthErrorAbort: true,
        timeout: CONNECT_TIMEOUT_MS,
      });
      await requireRoom(connection);
      void pauses.follow(connection);
      return connection;
    } catch (error) {
      failed(error);
      await delay(pauses.ms);
      pauses.lengthen();
    }
  }
  return undefined;
}

/** Closes a connection, and throws, where NATS takes shorter messages than the fleet sends: calls would run, and their answers not arrive. */
async function requireRoom(connection: NatsConnection): Promise<void> {
  const bytes = connection.info?.max_payload ?? 0;
  if (bytes >= MAX_MESSAGE_BYTES) return;
  await connection.close();
  throw new Error(`NATS takes messages of ${bytes} bytes at most, and the fleet needs ${MAX_MESSAGE_BYTES}`);
}

/** Whether NATS has refused the key: it is not invited, or was removed. */
export function isRefused(error: unknown): boolean {
  return error instanceof Error && error.name === 'AuthorizationError';
}

async function connectWith({ url, certificate, key, name }: NatsAddress, more: object): Promise<NatsConnection> {
  const { connect } = await import('@nats-io/transport-node');
  const tls = certificate === undefined ? { rejectUnauthorized: false } : { ca: certificate };
  return connect({
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
