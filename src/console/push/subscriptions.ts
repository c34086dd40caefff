import { Value } from '@sinclair/typebox/value';
import { OrderDirectory } from '../order-files.ts';
import { readPasskeys } from '../passkeys.ts';
import {
  idOfEndpoint,
  MAX_SUBSCRIPTION_BYTES,
  MOST_SUBSCRIPTIONS,
  parseEndpoint,
  type Subscription,
  subscriptionSchema,
} from './subscription.ts';

/** Where subscriptions are, and what says that they count. */
export interface SubscriptionsPlace {
  /** `AGENT3_CONSOLE_DIR`. */
  readonly directory: string;
  readonly passkeysFile: string;
  /** The agent is a service: what its own user has written proves nothing. */
  readonly isService: boolean;
}

/** A subscription that counts, with its id. */
export interface Subscribed extends Subscription {
  readonly id: string;
  readonly service: URL;
}

/** What lies in the directory of subscriptions: those that count, and why others do not. */
export interface FoundSubscriptions {
  readonly subscriptions: readonly Subscribed[];
  readonly faults: readonly string[];
}

/**
 * The browsers that people have switched notifications on in, as far as these people are still pinned. A console that was
 * taken over can write anything here: nothing of it is believed but by its form. Throws `ConsoleFault`.
 */
export function readSubscriptions(place: SubscriptionsPlace, now: number): FoundSubscriptions {
  const own = process.geteuid?.();
  using directory = OrderDirectory.open({
    console: place.directory,
    name: 'subscriptions',
    stranger: place.isService ? own : undefined,
  });
  const ids = directory?.ids() ?? [];
  if (directory === undefined || ids.length === 0) return { subscriptions: [], faults: [] };
  const people = peopleOf(place, now);
  const subscriptions: Subscribed[] = [];
  const faults: string[] = [];
  if (ids.length > MOST_SUBSCRIPTIONS) faults.push(`there are more than ${MOST_SUBSCRIPTIONS} subscriptions`);
  for (const id of ids.slice(0, MOST_SUBSCRIPTIONS)) {
    const found = directory.load(id, MAX_SUBSCRIPTION_BYTES);
    const read = typeof found === 'string' ? found : subscriptionIn(id, found.value);
    if (typeof read === 'string') faults.push(`subscription ${id}: ${read}`);
    else if (people.has(read.of)) subscriptions.push(read);
  }
  return { subscriptions, faults };
}

function subscriptionIn(id: string, value: unknown): Subscribed | string {
  if (!Value.Check(subscriptionSchema, value)) return 'its file has no subscription';
  const service = parseEndpoint(value.endpoint);
  if (service === undefined) return 'its endpoint is of no push service that browsers use';
  return idOfEndpoint(value.endpoint) === id ? { ...value, id, service } : 'its file has another name than it should';
}

/** Who is pinned, as subscriptions name them. */
function peopleOf({ passkeysFile, isService }: SubscriptionsPlace, now: number): ReadonlySet<string> {
  const file = readPasskeys(passkeysFile, isService ? undefined : process.geteuid?.());
  const sessions = file?.sessions.filter(({ until }) => until > now) ?? [];
  return new Set([...(file?.passkeys ?? []).map(({ id }) => id), ...sessions.map((one) => one.bearer_sha256)]);
}
