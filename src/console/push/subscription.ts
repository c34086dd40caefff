import { createHash } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { PUSH_EVENTS } from './message.ts';

/**
 * The hosts of the push services that browsers use: Chrome and its kin, Firefox, Safari (Apple: "any subdomain of
 * push.apple.com"), Edge on Windows.
 */
const HOST =
  /^(?:fcm\.googleapis\.com|updates\.push\.services\.mozilla\.com|[a-z0-9-]+\.push\.apple\.com|[a-z0-9-]+\.notify\.windows\.com)$/;
const MAX_ENDPOINT_CHARS = 1000;

/** Where a push service takes what is for one browser: HTTPS, the usual port, a known host. Undefined for all else. */
export function parseEndpoint(text: string): URL | undefined {
  if (text.length > MAX_ENDPOINT_CHARS || !/^https:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text))
    return undefined;
  const url = new URL(text);
  const isPlain = url.href === text && url.port === '' && url.username === '' && url.password === '' && url.hash === '';
  return isPlain && HOST.test(url.hostname) ? url : undefined;
}

/** What the page sends of a browser that is to be notified. */
export const subscribeSchema = Type.Object(
  {
    endpoint: Type.String({ maxLength: MAX_ENDPOINT_CHARS }),
    /** A point of P-256, and 16 bytes. */
    p256dh: Type.String({ pattern: '^[\\w-]{87}$' }),
    auth: Type.String({ pattern: '^[\\w-]{22}$' }),
    events: Type.Array(Type.Union(PUSH_EVENTS.map((event) => Type.Literal(event))), {
      maxItems: PUSH_EVENTS.length,
      uniqueItems: true,
    }),
  },
  { additionalProperties: false },
);

/** A browser that is notified, as the console keeps it. */
export const subscriptionSchema = Type.Object(
  {
    ...subscribeSchema.properties,
    /** Whose it is: the id of a passkey, or the SHA-256 of the bearer of a session without one. */
    of: Type.String({ minLength: 1, maxLength: 1500 }),
    made_at: Type.Integer(),
  },
  { additionalProperties: false },
);

export type Subscription = Static<typeof subscriptionSchema>;

/** The agent reads no more: an owner has fewer devices. */
export const MOST_SUBSCRIPTIONS = 50;
export const MAX_SUBSCRIPTION_BYTES = 8192;

/** The id of a subscription, and the name of its file: its endpoint is a secret. */
export function idOfEndpoint(endpoint: string): string {
  const hex = createHash('sha256').update(endpoint).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}
