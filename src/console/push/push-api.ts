import { type Static, Type } from '@sinclair/typebox';
import type { People } from '../people.ts';
import { ApiRefusal, badRequest } from '../refusal.ts';
import type { WireClient } from '../wire-client.ts';
import type { PushBox } from './push-box.ts';
import type { PushOutcome } from './pushes.ts';
import { idOfEndpoint, parseEndpoint, subscribeSchema } from './subscription.ts';

export interface PushApiDeps {
  readonly box: PushBox;
  readonly wire: Pick<WireClient, 'request'>;
  readonly people: Pick<People, 'keyOf' | 'keys'>;
}

/** What the agent says of pushes. */
export interface PushState {
  /** Null: the agent has no `AGENT3_PUSH_KEY`. */
  readonly public_key: string | null;
  /** Ids of subscriptions that their push service does not know any more. */
  readonly gone: readonly string[];
}

const endpointSchema = Type.Object({ endpoint: Type.String({ maxLength: 1000 }) });
/** The calls about notifications, by their bodies. */
export const PUSH_CALLS = {
  notifications: Type.Partial(endpointSchema),
  subscribe: subscribeSchema,
  unsubscribe: endpointSchema,
  'test-notification': endpointSchema,
} as const;
export type PushCall = keyof typeof PUSH_CALLS;
type Body<Name extends PushCall> = Static<(typeof PUSH_CALLS)[Name]>;

/** What the console does for a page that wants to be notified. */
export class PushApi {
  constructor(private readonly deps: PushApiDeps) {}

  /** Returns the events that the browser of an endpoint is notified of; null: of none. */
  async notifications({ endpoint }: Body<'notifications'>) {
    const { box, wire } = this.deps;
    const { public_key, gone } = (await wire.request('push', {})) as PushState;
    for (const id of gone) box.remove(id);
    const events = endpoint === undefined ? undefined : box.find(endpoint)?.events;
    return { public_key, events: events ?? null };
  }

  /** Notifies a browser from now on. Throws `ApiRefusal`. */
  subscribe(sent: Body<'subscribe'>, bearer: string): object {
    if (parseEndpoint(sent.endpoint) === undefined)
      throw badRequest('The push service of this browser is not one that Agent3 knows.');
    const of = this.deps.people.keyOf(bearer);
    if (of === undefined) throw new ApiRefusal(401, 'SignInNeeded', 'Sign in with a passkey.');
    if (!this.deps.box.put(sent, of, this.deps.people.keys()))
      throw badRequest('Too many devices are notified already: switch it off on another one.');
    return {};
  }

  unsubscribe({ endpoint }: Body<'unsubscribe'>): object {
    this.deps.box.remove(idOfEndpoint(endpoint));
    return {};
  }

  /** Has the agent send a push now. */
  async test({ endpoint }: Body<'test-notification'>): Promise<PushOutcome> {
    return (await this.deps.wire.request('test-push', { id: idOfEndpoint(endpoint) })) as PushOutcome;
  }
}
