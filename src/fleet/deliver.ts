import type { HubLink, Outcome, Patience, RequestFields } from './hub-link.ts';
import type { KnownServer } from './known-server.ts';

/** What is stale was not run, and has said which process runs there, and its clock. */
const MOST_TRIES = 2;

/** Sends a request, once more where it was not run because the hub did not know the process. Throws as `HubLink.send` does. */
export async function deliver(
  link: HubLink,
  server: KnownServer,
  fields: RequestFields,
  patience: Patience,
): Promise<Outcome | 'late'> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const outcome = await link.send(server, fields, patience);
    if (outcome === 'nobody' || 'lost' in outcome || outcome.reply.kind === 'answer') return outcome;
  }
  return 'late';
}

/** Why nobody has got a request. */
export function describeAbsence(link: HubLink, server: KnownServer): string {
  if (!link.isConnected)
    return `the hub has no connection to NATS since ${isoOf(link.disconnectedAt)}, so it reaches no server. Tell the owner of the hub: systemctl status agent3-nats`;
  const { name, lastSeenAt } = server.describe(performance.now(), true);
  const seen = lastSeenAt === undefined ? 'since the hub was started' : `since ${isoOf(lastSeenAt)}`;
  return `${name} is not connected, and was not seen ${seen}. What runs there continues`;
}

export const isoOf = (time: number): string => new Date(time).toISOString();
