import { type Static, Type } from '@sinclair/typebox';
import { reachOf } from '../access/hub-access.ts';
import { messageOf } from '../calls/answer.ts';
import type { CallContext } from '../calls/context.ts';
import { defineOperation, type Operation } from '../operations/operation.ts';
import type { FleetServer } from './door.ts';
import type { FleetDeps } from './fleet-deps.ts';
import { fingerprintOf } from './keys.ts';

/** Servers in one answer: of each at most 400 characters. */
const MOST_SHOWN = 200;

const serverSchema = Type.Object({
  name: Type.String(),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  state: Type.String({ description: 'connected or unreachable.' }),
  last_seen: Type.Optional(Type.String({ description: 'If it is unreachable: ISO 8601, UTC.' })),
  frozen: Type.Optional(Type.Boolean({ description: 'Its owner has frozen it.' })),
  os: Type.Optional(Type.String()),
  version: Type.Optional(Type.String({ description: 'Of Agent3.' })),
  load: Type.Optional(Type.Array(Type.Number())),
  may: Type.Optional(
    Type.String({ description: 'What this token may do there, as a profile of that server, or nothing.' }),
  ),
  key: Type.Optional(Type.String({ description: 'Fingerprint of its key.' })),
});
type Shown = Static<typeof serverSchema>;

/** `list_servers`: the servers of the fleet. */
export function listServersOperation({ deps, door }: FleetDeps): Operation {
  return defineOperation(deps, {
    name: 'list_servers',
    summary: 'List the servers',
    description: 'Lists the servers: name, labels, state, system, load, and what this token may do there.',
    args: Type.Object({
      offset: Type.Integer({
        minimum: 0,
        default: 0,
        description: 'From next_offset.',
      }),
    }),
    result: Type.Object({
      hub: Type.String({ description: 'Name of the hub itself, as server.' }),
      servers: Type.Array(serverSchema),
      next_offset: Type.Optional(Type.Integer()),
      message: Type.Optional(Type.String()),
    }),
    destructive: false,
    readOnly: true,
    whileFrozen: true,
    run: async ({ offset }, context, ignored) => {
      const all = door.servers();
      const servers = all.slice(offset, offset + MOST_SHOWN).map((server) => describe(server, context));
      const next = offset + servers.length;
      return { hub: door.hubName, servers, ...(next < all.length && { next_offset: next }), ...messageOf(ignored) };
    },
  });
}

function describe({ name, key, labels, state, lastSeenAt, shown }: FleetServer, context: CallContext): Shown {
  return {
    name,
    ...(Object.keys(labels).length > 0 && { labels }),
    state,
    ...(state === 'unreachable' && lastSeenAt !== undefined && { last_seen: new Date(lastSeenAt).toISOString() }),
    ...(shown?.frozen === true && { frozen: true }),
    ...(shown !== undefined && { os: shown.os, version: shown.version, load: shown.load }),
    ...(shown !== undefined && { may: mayOf(shown.profile, context) }),
    ...(context.isLean !== true && { key: fingerprintOf(key) }),
  };
}

function mayOf(most: string, { profile }: CallContext): string {
  const reach = reachOf(profile);
  if (reach === undefined) return `nothing: the profile ${profile.name} of this token is for the hub alone`;
  return reach === 'profile' || most === 'readonly' ? most : `${most}, read-only`;
}
