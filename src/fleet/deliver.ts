import type { HubLink, Outcome, RequestFields, Waiting } from './hub-link.ts';
import type { KnownServer } from './known-server.ts';

/** A request that was answered `stale` was not run. The answer names the process that runs there, and its clock. */
const MOST_TRIES = 2;

/** Sends a request, and repeats it where the hub did not know the process and nothing was run. Throws as `HubLink.send` does. */
export async function deliver(
  link: HubLink,
  server: KnownServer,
  fields: RequestFields,
  waiting: Waiting,
): Promise<Outcome | 'late'> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const outcome = await link.send(server, fields, waiting);
    if (outcome === 'nobody' || 'lost' in outcome || outcome.reply.kind === 'answer') return outcome;
  }
  return 'late';
}

/** Returns why no server received a request. */
export function describeAbsence(link: HubLink, server: KnownServer): string {
  if (!link.isConnected)
    return `the hub has had no connection to NATS since ${isoOf(link.disconnectedAt)}, so no server can be reached. Tell the owner of the hub: systemctl status agent3-nats`;
  const { name, lastSeenAt } = server.describe(performance.now(), true);
  const seen = lastSeenAt === undefined ? 'since the hub was started' : `since ${isoOf(lastSeenAt)}`;
  return `${name} is not connected, and has not been seen ${seen}. What runs there continues`;
}

export const isoOf = (time: number): string => new Date(time).toISOString();
