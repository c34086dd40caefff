import { type Static, Type } from '@sinclair/typebox';

/** How a call came that a hub has passed on, or goes to a server of a hub. */
export const viaSchema = Type.Object({
  /** The server: the hub's name of it, and 8 letters of its key, `web1@abcdefgh`. */
  server: Type.String(),
  /** The id of the request at the hub; the records of both have it. */
  request: Type.String(),
});
export type Via = Static<typeof viaSchema>;

/** Where a call comes from, beside its token and address. */
export interface Origin {
  /** The id of its request, as its log line has it. */
  readonly request?: string;
  /** It came through a hub, or goes to a server of this one. */
  readonly via?: Via | undefined;
}
