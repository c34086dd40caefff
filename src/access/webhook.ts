import { createHmac, randomUUID } from 'node:crypto';
import { delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { webhookKey } from '../lib/token.ts';

/** Waits before each retry, when the receiver does not accept a message. */
const PAUSES_MS = [1000, 5000, 25_000];
const TIMEOUT_MS = 5000;
/** Most messages in transit. More are dropped and logged. */
const MAX_UNDER_WAY = 32;

/** The receiver, and the key that signs the messages. */
interface NotifyTarget {
  readonly url: string;
  readonly secret: string;
}

/** Sends a notification. */
export type SendNotification = (type: string, data: Readonly<Record<string, unknown>>) => void;

/** The channels that notify the owner. */
export class Notifications {
  readonly #ways: SendNotification[] = [];

  add(way: SendNotification): void {
    this.#ways.push(way);
  }

  /** Whether there is any channel. */
  get isHeard(): boolean {
    return this.#ways.length > 0;
  }

  readonly send: SendNotification = (type, data) => {
    for (const way of this.#ways) way(type, data);
  };
}

/**
 * Sends messages to `url`: JSON by POST, signed as in Standard Webhooks, with HMAC-SHA256 of `id.timestamp.body` and the
 * key of `secret`.
 */
export function webhook({ url, secret }: NotifyTarget, logger: Logger): SendNotification {
  const key = webhookKey(secret) ?? Buffer.from(secret);
  let underWay = 0;
  return (type, data) => {
    if (underWay >= MAX_UNDER_WAY) {
      logger.warn({ type }, 'too many notifications are in transit, so this one was dropped');
      return;
    }
    underWay++;
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    void send(url, key, body, logger).finally(() => underWay--);
  };
}

async function send(url: string, key: Uint8Array, body: string, logger: Logger): Promise<void> {
  const id = `msg_${randomUUID()}`;
  for (const pause of [...PAUSES_MS, undefined]) {
    const fault = await post(url, key, id, body);
    if (fault === undefined) return;
    if (pause === undefined) {
      logger.warn({ fault }, 'AGENT3_NOTIFY_URL did not accept a notification');
      return;
    }
    await delay(pause);
  }
}

/** Returns why the receiver did not accept it; undefined when it did. */
async function post(url: string, key: Uint8Array, id: string, body: string): Promise<string | undefined> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.ok ? undefined : `it answered ${response.status}`;
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'it did not answer' : describeErrno(error);
  }
}
