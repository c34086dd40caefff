import { type Static, Type } from '@sinclair/typebox';

/** The way of a call that a hub has passed on, or that goes to a server of a hub. */
export const viaSchema = Type.Object({
  /** The server: the hub's name for it, and 8 letters of its key, `web1@abcdefgh`. */
  server: Type.String(),
  /** The id of the request at the hub; the records of both have it. */
  request: Type.String(),
});
export type Via = Static<typeof viaSchema>;

/** Where a call comes from, besides its token and address. */
export interface Origin {
  /** The id of its request, as in its log line. */
  readonly request?: string;
  /** Set if it came through a hub, or goes to a server of this one. */
  readonly via?: Via | undefined;
}
