import { visibleLine } from '../../lib/visible.ts';
import type { State, WaitingRequest } from '../shown.ts';
import type { ShownFleet, ShownServer } from '../shown-servers.ts';

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

/** How a server is called in the requests of its fleet: its name, and 8 letters of its key. */
export function fullName({ name, key }: Pick<ShownServer, 'name' | 'key'>): string {
  return `${name}@${key.slice(2, 10).toLowerCase()}`;
}

/** The server that a request says it is for, where that is not the one that it came from; undefined: it is, or it says none. */
export function foreignName(server: ShownServer | undefined, named: string | undefined): string | undefined {
  return server === undefined || named === undefined || named === fullName(server) ? undefined : named;
}

/** A text about something on a server: the name of the server is first. */
export function placed(place: string | undefined, text: string): string {
  return place === undefined ? text : `${place}: ${text}`;
}
