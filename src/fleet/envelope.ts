import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { SIGNATURE_BYTES, type SigningKey, type Verifier } from './keys.ts';

const text = (maxLength: number) => Type.String({ maxLength });
const key = Type.String({ pattern: '^U[A-Z2-7]{55}$' });
const uuid = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });

/** The servers of one approval, and the run and salt that make the approval unique. */
const planSchema = Type.Object({
  run: uuid,
  salt: uuid,
  servers: Type.Array(Type.Object({ name: text(100), key, instance: uuid }), { maxItems: 500 }),
});

/** A call of the hub. `README.md` says what each field is for. */
const requestSchema = Type.Object({
  server: key,
  instance: uuid,
  id: uuid,
  not_after: Type.Number(),
  op: Type.String({ pattern: '^[a-z_]{1,40}$' }),
  args: Type.Unknown(),
  name: text(100),
  principal: Type.String({ pattern: '^[a-z0-9][a-z0-9_.-]{0,63}(#[0-9a-f]{8})?$' }),
  /** Joins the records of both. */
  request: uuid,
  reach: Type.Union([Type.Literal('profile'), Type.Literal('readonly')]),
  address: text(100),
  /** Of a part of a `run_on` that is approved as one. */
  plan: Type.Optional(planSchema),
  lean: Type.Boolean(),
  reply_ms: Type.Number({ minimum: 0, maximum: 200_000 }),
  max_chars: Type.Integer({ minimum: 256 }),
});
export type FleetRequest = Static<typeof requestSchema>;

/** The reply of a server to a request. For `begun` and `stale`, status is 0 and body null. */
const replySchema = Type.Object({
  server: key,
  instance: uuid,
  id: uuid,
  clock: Type.Number(),
  kind: Type.Union([Type.Literal('begun'), Type.Literal('answer'), Type.Literal('stale')]),
  status: Type.Integer(),
  headers: Type.Record(Type.String(), text(1000)),
  body: Type.Unknown(),
});
export type FleetReply = Static<typeof replySchema>;

/** The state that a server sends. */
const stateSchema = Type.Object({
  server: key,
  instance: uuid,
  clock: Type.Number(),
  count: Type.Integer({ minimum: 1 }),
  version: text(40),
  os: text(200),
  load: Type.Array(Type.Number(), { maxItems: 3 }),
  frozen: Type.Boolean(),
  profile: text(64),
  operations: Type.Array(text(40), { maxItems: 100 }),
  leaving: Type.Boolean(),
  /** The number of its list of the hub's passkeys. Missing where it has no list. */
  keys: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Requests that wait for a person there. */
  waiting: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type ServerState = Static<typeof stateSchema>;

/** A kind of message: the name that is signed, and the format. */
interface Kind<T extends TSchema> {
  readonly name: string;
  readonly check: (value: unknown) => value is Static<T>;
}

function kind<T extends TSchema>(name: string, schema: T): Kind<T> {
  const checker = TypeCompiler.Compile(schema);
  return { name, check: (value): value is Static<T> => checker.Check(value) };
}

export const REQUEST = kind('a3-request', requestSchema);
export const REPLY = kind('a3-answer', replySchema);
export const STATE = kind('a3-state', stateSchema);

/** The limit of NATS, 2 MiB. A request has at most the length of an HTTP body, escaped. */
export const MAX_MESSAGE_BYTES = 2_097_152;

/** An invalid message: forged, damaged, or of another kind. */
export class EnvelopeFault extends Error {}

/** Between the JSON of a message and the bytes that come with it: JSON never has it. */
const NUL = Buffer.alloc(1);
const NO_BYTES = Buffer.alloc(0);

/** Returns a signed message of this kind. `bytes` follow its JSON as they are. */
export function seal<T extends TSchema>(
  { name }: Kind<T>,
  value: Static<T>,
  signer: SigningKey,
  bytes: Uint8Array = NO_BYTES,
): Buffer {
  const body = [Buffer.from(JSON.stringify(value)), ...(bytes.length > 0 ? [NUL, bytes] : [])];
  return Buffer.concat([signer.sign(signedText(name, ...body)), ...body]);
}

/** Reads a message that `by` has signed. Throws `EnvelopeFault`. */
export function open<T extends TSchema>({ name, check }: Kind<T>, message: Uint8Array, by: Verifier): Static<T> {
  if (message.length > MAX_MESSAGE_BYTES) throw new EnvelopeFault('it is too long');
  const body = message.subarray(SIGNATURE_BYTES);
  if (!by.isSigned(signedText(name, body), message.subarray(0, SIGNATURE_BYTES)))
    throw new EnvelopeFault(`its signature is not that of ${by.publicKey.slice(0, 10)}`);
  const value = parsed(body.subarray(0, endOfJson(body)));
  if (!check(value)) throw new EnvelopeFault('its format is wrong');
  return value;
}

/** Returns the bytes that come with a message which `open` has accepted. */
export function bytesIn(message: Uint8Array): Uint8Array {
  const body = message.subarray(SIGNATURE_BYTES);
  return body.subarray(endOfJson(body) + 1);
}

function endOfJson(body: Uint8Array): number {
  const end = body.indexOf(0);
  return end === -1 ? body.length : end;
}

/** The line feed ends the name of the kind, so no name can be the beginning of another one. */
function signedText(name: string, ...body: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`${name}\n`), ...body]);
}

function parsed(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch {
    throw new EnvelopeFault('it is not JSON');
  }
}
