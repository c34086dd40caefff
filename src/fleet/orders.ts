import { randomUUID } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Deadline } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { deliver, describeAbsence, isoOf } from './deliver.ts';
import type { FleetReply } from './envelope.ts';
import type { HubLink } from './hub-link.ts';
import type { KnownServer } from './known-server.ts';

/** The result of an order that was passed on, and the server in the form of the audit record. */
export interface OrderOutcome {
  readonly state: 'done' | 'refused' | 'unknown';
  readonly why?: string;
  readonly server?: string;
}

export const NO_SERVER: OrderOutcome = {
  state: 'refused',
  why: 'nothing was done: no server of the fleet has its key any more',
};

/** Shorter than the ten seconds of the console. */
const ORDER_SECONDS = 9;
const MOST_WHY_CHARS = 500;

const resultSchema = Type.Object({
  state: Type.Union([Type.Literal('done'), Type.Literal('refused'), Type.Literal('unknown')]),
  why: Type.Optional(Type.String()),
});
const refusalSchema = Type.Object({ error: Type.String(), message: Type.Optional(Type.String()) });

/** Sends an order of the console to a server, which checks it. Returns its result, also where nobody says so. */
export async function sendOrder(link: HubLink, server: KnownServer, file: unknown): Promise<OrderOutcome> {
  const { name, tag } = server.describe(performance.now(), link.isConnected);
  return { server: `${name}@${tag}`, ...(await send(link, server, file)) };
}

async function send(link: HubLink, server: KnownServer, file: unknown): Promise<OrderOutcome> {
  const { name } = server.record;
  const fields = {
    ...{ server: server.key, op: 'order', args: file, name, principal: 'console', reach: 'readonly' as const },
    ...{ request: randomUUID(), address: '', lean: true, max_chars: 10_000 },
  };
  try {
    const outcome = await deliver(link, server, fields, { deadline: Deadline.after(ORDER_SECONDS) });
    if (outcome === 'nobody') return { state: 'refused', why: `nothing was done: ${describeAbsence(link, server)}` };
    if (outcome === 'late')
      return { state: 'refused', why: `nothing was done: the order reached ${name} too late. Try it again` };
    if ('lost' in outcome) return { state: 'unknown', why: describeLost(link, server, outcome.lost) };
    return outcomeOf(outcome.reply);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { state: 'refused', why: error.hint ?? error.error };
  }
}

function describeLost(link: HubLink, server: KnownServer, why: string): string {
  const { name, lastSeenAt } = server.describe(performance.now(), link.isConnected);
  const seen = lastSeenAt === undefined ? '' : `; it was last seen at ${isoOf(lastSeenAt)}`;
  return `it was sent to ${name}, and ${why}${seen}. It may have been done: look at what the server shows`;
}

function outcomeOf({ status, body }: FleetReply): OrderOutcome {
  const cut = (text: string): string => visibleLine(text).slice(0, MOST_WHY_CHARS).toWellFormed();
  if (status === 200 && Value.Check(resultSchema, body)) {
    const { state, why }: Static<typeof resultSchema> = body;
    return { state, ...(why !== undefined && { why: cut(why) }) };
  }
  if (!Value.Check(refusalSchema, body)) return { state: 'unknown', why: 'its answer has an unknown format' };
  const { error, message = '' } = body;
  return { state: status < 500 || status === 503 ? 'refused' : 'unknown', why: cut(`${error}. ${message}`) };
}
