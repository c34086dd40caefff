import { visibleLine } from '../../lib/visible.ts';
import type { State, WaitingRequest } from '../shown.ts';
import type { ShownFleet, ShownServer } from '../shown-servers.ts';
import { MOST_APART_MS } from './sign.ts';
import { recall, remember } from './storage.ts';

/** A request that waits, and where. */
export interface WaitingItem extends WaitingRequest {
  /** Of all requests on the page. */
  readonly id: string;
  /** The server of the fleet; undefined: the one that has this console. */
  readonly server: ShownServer | undefined;
  /** What it is called first; undefined where there is but one server. */
  readonly place: string | undefined;
}

interface Known {
  readonly state: State | undefined;
  readonly fleet: ShownFleet | undefined;
}

/** All that waits for the person: here and on every server, the oldest first. */
export function waitingItems({ state, fleet }: Known): WaitingItem[] {
  const hub = state?.hub === undefined ? undefined : visibleLine(state.hub);
  const own = (state?.waiting ?? []).map((one) => ({ ...one, id: one.session, server: undefined, place: hub }));
  // What waits for a plan is in the card of that.
  const plans = new Set((state?.plans ?? []).map(({ run }) => run));
  const others = (fleet?.servers ?? []).flatMap((server) =>
    server.waiting
      .filter(({ run }) => run === null || !plans.has(run))
      .map((one) => ({
        ...one,
        id: `${server.key}/${one.session}`,
        server,
        place: visibleLine(server.name),
      })),
  );
  return [...own, ...others].sort((a, b) => a.asked_at - b.asked_at);
}

/** What is needed to freeze a server. */
export type NamedServer = Pick<ShownServer, 'name' | 'key'>;

const KEPT = 'agent3-servers';

/** Keeps which servers there are on this device: they can be frozen while the agent of the hub says nothing. */
export function rememberServers(servers: readonly NamedServer[]): void {
  const text = JSON.stringify(servers.map(({ name, key }) => ({ name, key })));
  if (text !== recall(KEPT)) remember(KEPT, servers.length === 0 ? undefined : text);
}

/** The servers that this device knew last. */
export function recallServers(): readonly NamedServer[] {
  try {
    const kept: unknown = JSON.parse(recall(KEPT) ?? '[]');
    return Array.isArray(kept) ? kept.filter(isNamed) : [];
  } catch {
    return [];
  }
}

function isNamed(value: unknown): value is NamedServer {
  const { name, key } = (value ?? {}) as Partial<Record<keyof NamedServer, unknown>>;
  return typeof name === 'string' && typeof key === 'string';
}

/** How a server is called in the requests of its fleet: its name, and 8 letters of its key. */
export function fullName({ name, key }: NamedServer): string {
  return `${name}@${key.slice(2, 10).toLowerCase()}`;
}

/** What an order has of its server. A passkey signs the name too: only the server that has this key and this name takes it. */
export function signedFor({ key, name }: NamedServer): { readonly server: string; readonly server_name: string } {
  return { server: key, server_name: name };
}

/**
 * How far the clock of a server is ahead of the hub's, in milliseconds. Undefined where that is too much for an order with an
 * end: a hub that was taken over could stretch the time by it.
 */
export function aheadOf(server: ShownServer | undefined): number | undefined {
  const ahead = server?.ahead_ms ?? 0;
  return Math.abs(ahead) > MOST_APART_MS ? undefined : ahead;
}

/** The server that a request says it is for, where that is not the one that it came from; undefined: it is, or it says none. */
export function foreignName(server: ShownServer | undefined, named: string | undefined): string | undefined {
  return server === undefined || named === undefined || named === fullName(server) ? undefined : named;
}

/** A text about something on a server: the name of the server is first. */
export function placed(place: string | undefined, text: string): string {
  return place === undefined ? text : `${place}: ${text}`;
}
