import { type TProperties, Type } from '@sinclair/typebox';
import { MAX_WHY_CHARS, MOST_AT_ONCE } from './order.ts';

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const DIGEST = Type.String({ pattern: '^[0-9a-f]{64}$' });
const MOMENT = Type.Integer({ minimum: 0 });
const BASE64URL = Type.String({ pattern: '^[\\w-]+$' });
const CHALLENGE = Type.String({ pattern: '^[\\w-]{43}$' });
const WHY = Type.String({ maxLength: MAX_WHY_CHARS });

const TOKEN = Type.String({ pattern: '^[a-z0-9][a-z0-9_.-]{0,63}$' });

/** On a server of a fleet, tokens of its hub ask as well. */
const PRINCIPAL = Type.String({ pattern: '^(?:hub/)?[a-z0-9][a-z0-9_.-]{0,63}$' });

const PROFILE = Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' });

const NKEY = Type.String({ pattern: '^U[A-Z2-7]{55}$' });

const BASE = {
  id: UUID,
  at: MOMENT,
  nonce: Type.String({ pattern: '^[\\w-]{22}$' }),
  server: Type.Optional(NKEY),
  server_name: Type.Optional(Type.String({ maxLength: 64 })),
};

/** What an order has besides its kind has to be known: a signature is over all of it. */
function strict<T extends TProperties>(properties: T) {
  return Type.Object(properties, { additionalProperties: false });
}

const approveSchema = strict({ ...BASE, kind: Type.Literal('approve'), session: UUID, digest: DIGEST });
const thawSchema = strict({ ...BASE, kind: Type.Literal('thaw'), since: MOMENT, again: Type.Optional(MOMENT) });
const allowSchema = strict({
  ...BASE,
  kind: Type.Literal('allow'),
  session: UUID,
  digest: DIGEST,
  token: PRINCIPAL,
  // That of the settings has none.
  made: Type.String({ maxLength: 64 }),
  profile: PROFILE,
  rule: Type.Integer({ minimum: 1 }),
  rule_sha256: DIGEST,
  cwd: Type.String({ maxLength: 4096 }),
  until: MOMENT,
});
const aboutPlan = { ...BASE, run: UUID, plan: DIGEST };
const approvePlanSchema = strict({ ...aboutPlan, kind: Type.Literal('approve-plan') });
const takeOverSchema = strict({
  ...BASE,
  kind: Type.Literal('take-over'),
  session: UUID,
  key: Type.String({ pattern: '^[\\w-]{87}$' }),
  from: Type.Union([UUID, Type.Null()]),
});
const undoSchema = strict({
  ...BASE,
  kind: Type.Literal('undo'),
  change: UUID,
  path: Type.String({ maxLength: 4096 }),
  expected: Type.String({ pattern: '^(?:[0-9a-f]{64})?$' }),
  digest: DIGEST,
});
/** As root pins it. */
export const passkeySchema = strict({
  id: BASE64URL,
  public_key: BASE64URL,
  name: Type.String({ maxLength: 100 }),
  made_at: Type.Integer(),
  fingerprint: Type.String({ maxLength: 40 }),
});
/** More passkeys than people have. */
const MOST_PASSKEYS = 100;
/** A `PasskeyList`. */
export const LIST = {
  origin: Type.String({ maxLength: 300 }),
  rp_id: Type.String({ maxLength: 300 }),
  passkeys: Type.Array(passkeySchema, { maxItems: MOST_PASSKEYS }),
};
const keysSchema = strict({
  ...BASE,
  ...LIST,
  kind: Type.Literal('keys'),
  hub: NKEY,
  count: Type.Integer({ minimum: 1 }),
  previous: DIGEST,
});
const named = { ...BASE, token: TOKEN, made: Type.String({ pattern: '^[0-9a-f]{8}$' }) };
const granted = { ...named, profile: PROFILE, expires_at: Type.Union([MOMENT, Type.Null()]) };
const text = Type.String({ maxLength: 2000 });
const tokenSchemas = [
  strict({ ...granted, kind: Type.Literal('create-token'), sha256: DIGEST }),
  strict({ ...granted, kind: Type.Literal('change-token') }),
  strict({
    ...granted,
    kind: Type.Literal('connect-code'),
    client: Type.String({ pattern: '^[a-z-]{1,20}$' }),
    code_sha256: DIGEST,
  }),
  strict({ ...named, kind: Type.Literal('keep-client'), client: text, redirect: text, address: text }),
];
export const signedOrderSchema = Type.Union([
  approveSchema,
  allowSchema,
  approvePlanSchema,
  thawSchema,
  takeOverSchema,
  undoSchema,
  keysSchema,
  ...tokenSchemas,
]);

export const orderSchema = Type.Union([
  approveSchema,
  allowSchema,
  approvePlanSchema,
  thawSchema,
  ...tokenSchemas,
  strict({ ...BASE, kind: Type.Literal('end-allowance'), allowance: UUID }),
  takeOverSchema,
  undoSchema,
  keysSchema,
  strict({ ...BASE, kind: Type.Literal('hand-back'), session: UUID }),
  strict({ ...BASE, kind: Type.Literal('deny'), session: UUID, digest: DIGEST, why: WHY }),
  strict({ ...aboutPlan, kind: Type.Literal('deny-plan'), why: WHY }),
  strict({ ...BASE, kind: Type.Literal('stop'), session: UUID }),
  strict({ ...BASE, kind: Type.Literal('stop-all') }),
  strict({ ...BASE, kind: Type.Literal('freeze'), reason: WHY }),
  strict({
    ...BASE,
    kind: Type.Literal('revoke'),
    token: TOKEN,
    made: Type.String({ minLength: 1, maxLength: 64 }),
  }),
]);

/** The result of `navigator.credentials.get`, as JSON. */
export const assertionSchema = Type.Object({
  id: BASE64URL,
  rawId: BASE64URL,
  type: Type.Literal('public-key'),
  response: Type.Object({
    clientDataJSON: BASE64URL,
    authenticatorData: BASE64URL,
    signature: BASE64URL,
    userHandle: Type.Optional(Type.String()),
  }),
  clientExtensionResults: Type.Object({}),
  among: Type.Optional(Type.Array(CHALLENGE, { minItems: 2, maxItems: MOST_AT_ONCE })),
});

export const orderFileSchema = strict({
  order: orderSchema,
  by: Type.String({ maxLength: 100 }),
  assertion: Type.Optional(assertionSchema),
});
