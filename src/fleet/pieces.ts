import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';

/** What a hub and its server say to each other about streams and transfers, piece by piece. */

const count = (minimum = 0) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER });
const streamName = Type.Union([Type.Literal('stdout'), Type.Literal('stderr')]);
const offsets = Type.Object({ stdout: count(), stderr: count() });

/** Returns the step that the hub asks for. */
export function stepOf(args: unknown): unknown {
  return typeof args === 'object' && args !== null && 'step' in args ? args.step : undefined;
}

/** Returns a function that returns `value` where it has the format of `schema`; undefined otherwise. */
function reader<T extends TSchema>(schema: T): (value: unknown) => Static<T> | undefined {
  const checker = TypeCompiler.Compile(schema);
  return (value) => (checker.Check(value) ? value : undefined);
}

/** Most bytes of a file in one message. */
export const PIECE_BYTES = 524_288;

/** What the hub asks about a stream. A stream with an id that the server does not know begins at `offsets`. */
export const readStreamArgs = reader(
  Type.Object({
    stream: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
    session: Type.String({ pattern: '^[0-9a-fA-F-]{36}$' }),
    offsets,
    isText: Type.Boolean(),
    /** `begin` is answered at once, `next` when something happens; `end` ends it. */
    step: Type.Union([Type.Literal('begin'), Type.Literal('next'), Type.Literal('end')]),
  }),
);

/** Most output in one answer, but for its last event; and most of one event. */
export const STREAM_BYTES = 131_072;

const streamEvent = Type.Union([
  /** Its bytes follow those of the events before it. */
  Type.Object({
    kind: Type.Literal('output'),
    stream: streamName,
    bytes: Type.Integer({ minimum: 1, maximum: STREAM_BYTES }),
    offsets,
  }),
  Type.Object({ kind: Type.Literal('alive') }),
  Type.Object({ kind: Type.Literal('frozen'), isFrozen: Type.Boolean() }),
  Type.Object({ kind: Type.Literal('end'), state: Type.Record(Type.String(), Type.Unknown()) }),
  Type.Object({ kind: Type.Literal('refused'), status: Type.Integer(), body: Type.Unknown() }),
  /** The server stops. */
  Type.Object({ kind: Type.Literal('over') }),
]);
export type StreamEvent = Static<typeof streamEvent>;

/** What the server answers to `next`: it waits for an event. */
export const readStreamEvents = reader(
  Type.Object({ events: Type.Array(streamEvent, { minItems: 1, maxItems: 100 }) }),
);

const secret = Type.String({ pattern: '^[\\w-]{43}$' });

/** What the hub asks about a link. The bytes of `write` follow the message. */
export const readTransferArgs = reader(
  Type.Union([
    Type.Object({ step: Type.Literal('open'), secret }),
    Type.Object({ step: Type.Literal('read'), secret, from: count(), to: count() }),
    Type.Object({ step: Type.Literal('took'), secret, from: count(), to: count() }),
    Type.Object({ step: Type.Literal('write'), secret, offset: count() }),
    Type.Object({ step: Type.Literal('commit'), secret }),
  ]),
);

/** The link that `open` has found. */
export const readLink = reader(
  Type.Union([
    Type.Object({
      kind: Type.Literal('download'),
      bytes: count(),
      name: Type.String({ minLength: 1, maxLength: 255 }),
      tag: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
      isHeld: Type.Boolean(),
    }),
    Type.Object({ kind: Type.Literal('upload'), received: count(), most: count() }),
    Type.Object({
      kind: Type.Literal('used'),
      bytes: count(),
      sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    }),
  ]),
);

/** What `write` answers: how many bytes of the file the server has. */
export const readReceived = reader(Type.Object({ received: count() }));
