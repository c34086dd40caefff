import { SessionNotFound } from '../lib/errors.ts';

/** A session's id that was checked: nothing else can become part of a path. */
export type SessionId = string & { readonly __brand: 'SessionId' };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A new id, UUIDv7: ids sort by the time they were made (RFC 9562). */
export function newSessionId(): SessionId {
  return Bun.randomUUIDv7() as SessionId;
}

/** The id in `text`, or undefined when it is none. Upper case is accepted, as UUIDs are read. */
export function asSessionId(text: string): SessionId | undefined {
  const lower = text.toLowerCase();
  return UUID.test(lower) ? (lower as SessionId) : undefined;
}

/** The id in `text`; throws `SessionNotFound` for what cannot be one. */
export function parseSessionId(text: string): SessionId {
  const id = asSessionId(text);
  if (id === undefined) {
    throw new SessionNotFound('A session id is a UUID, as the answer of shell gives it in its field "session".');
  }
  return id;
}

/** When the session was made, in milliseconds since the epoch: the first 48 bits of a UUIDv7. */
export function timeOfId(id: SessionId): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
