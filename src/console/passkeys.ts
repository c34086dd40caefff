import { readFileSync } from 'node:fs';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { readPlain, replaceReadable } from '../lib/files.ts';
import { ConsoleFault } from './fault.ts';
import {
  type Assertion,
  challengeOf,
  challengeOfAll,
  fingerprintOf,
  fromBase64url,
  type Order,
  type SignedOrder,
} from './order.ts';
import { assertionSchema, passkeySchema, signedOrderSchema } from './order-schema.ts';

/** What root has pinned. Times are milliseconds since the epoch. */
const fileSchema = Type.Object({
  origin: Type.String(),
  rp_id: Type.String(),
  passkeys: Type.Array(passkeySchema),
  /** People without a passkey. */
  sessions: Type.Array(
    Type.Object({
      bearer_sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
      name: Type.String({ maxLength: 100 }),
      until: Type.Integer(),
    }),
  ),
});

export type PasskeysFile = Static<typeof fileSchema>;
export type Passkey = Static<typeof passkeySchema>;

const MAX_FILE_BYTES = 1_048_576;

/**
 * The passkeys that root has pinned; undefined where there is no file. `own` is a user whose file counts as well: that of
 * an agent that is no service. Throws `ConsoleFault`.
 */
export function readPasskeys(path: string, own?: number): PasskeysFile | undefined {
  const fault = (what: string): never => {
    throw new ConsoleFault(`${path} is not used: ${what}`);
  };
  try {
    return readPlain(path, (fd, { uid, mode, size }) => {
      if (uid !== 0 && uid !== own)
        fault(`it belongs to the user with the number ${uid}, and has to be root's: chown root ${path}`);
      if ((mode & 0o022) !== 0) fault(`others than its owner may write to it: chmod go-w ${path}`);
      if (size > MAX_FILE_BYTES) fault('it is too large');
      const value: unknown = JSON.parse(readFileSync(fd, 'utf8'));
      return Value.Check(fileSchema, value) ? value : fault('it is not a file of passkeys');
    });
  } catch (error) {
    if (error instanceof ConsoleFault) throw error;
    if (errnoOf(error) === 'ENOENT') return undefined;
    return fault(error instanceof SyntaxError ? 'it is not JSON' : describeErrno(error));
  }
}

/** Replaces the file, which everybody may read, on the disk when it returns. Throws the system's error. */
export function writePasskeys(path: string, file: PasskeysFile): void {
  replaceReadable(path, `${JSON.stringify(file, null, 2)}\n`, 'on disk');
}

/** Where passkeys are good, and the challenge they answer. */
interface Expected {
  readonly challenge: string;
  readonly origin: string;
  readonly rp_id: string;
}

/**
 * The pinned passkey that has signed an order: all of it, by a verified user, on the pinned page. Throws `ConsoleFault`.
 */
export async function verifyOrder(
  order: Order,
  assertion: Assertion,
  { origin, rp_id, passkeys }: PasskeysFile,
): Promise<Passkey> {
  return verifySignIn(assertion, await challengeFor(order, assertion), { origin, rp_id, passkeys });
}

/**
 * The challenge that the signature of an order has answered: its own, or that of the approvals that it is among. Throws
 * `ConsoleFault`.
 */
export async function challengeFor(order: Order, { among }: Assertion): Promise<string> {
  const own = await challengeOf(order);
  if (among === undefined) return own;
  if (order.kind !== 'approve') throw new ConsoleFault('only approvals can be signed together');
  if (!among.includes(own)) throw new ConsoleFault('it is not among what was signed');
  return challengeOfAll(among);
}

/** An order with its proof, as the record keeps it: a reader of the record needs no other file. */
export interface Signature {
  readonly order: SignedOrder;
  readonly assertion: Assertion;
  readonly passkey: Omit<Passkey, 'made_at'>;
  readonly origin: string;
  readonly rp_id: string;
}

export const signatureSchema = Type.Object({
  order: signedOrderSchema,
  assertion: assertionSchema,
  passkey: Type.Omit(passkeySchema, ['made_at']),
  origin: Type.String(),
  rp_id: Type.String(),
});

/** Whether the passkey of a signature still counts: root may have removed it meanwhile. `own` as in `readPasskeys`. */
export function isStillPinned(path: string, own: number | undefined, { passkey, origin }: Signature): boolean {
  try {
    const file = readPasskeys(path, own);
    const isThere = file?.passkeys.some(({ id, public_key }) => id === passkey.id && public_key === passkey.public_key);
    return file?.origin === origin && isThere === true;
  } catch (error) {
    if (error instanceof ConsoleFault) return false;
    throw error;
  }
}

/** The signature of an order that counts; `link` says what to do where there is no file. Throws `ConsoleFault`. */
export async function signatureOf(
  order: SignedOrder,
  assertion: Assertion | undefined,
  file: PasskeysFile | undefined,
  link = 'no passkey is linked to this server: sudo agent3 console link',
): Promise<Signature> {
  if (file === undefined) throw new ConsoleFault(link);
  if (assertion === undefined) throw new ConsoleFault('it needs the signature of a passkey');
  const { id, public_key, name, fingerprint } = await verifyOrder(order, assertion, file);
  const { among, response } = assertion;
  const { clientDataJSON, authenticatorData, signature } = response;
  return {
    order,
    assertion: {
      id,
      rawId: id,
      type: 'public-key',
      response: { clientDataJSON, authenticatorData, signature },
      clientExtensionResults: {},
      ...(among !== undefined && { among }),
    },
    passkey: { id, public_key, name, fingerprint },
    origin: file.origin,
    rp_id: file.rp_id,
  };
}

/** The pinned passkey that has answered a challenge (base64url). Throws `ConsoleFault`. */
export async function verifySignIn(
  assertion: AuthenticationResponseJSON,
  challenge: string,
  { origin, rp_id, passkeys }: Pick<PasskeysFile, 'origin' | 'rp_id' | 'passkeys'>,
): Promise<Passkey> {
  const passkey = passkeys.find(({ id }) => id === assertion.id);
  if (passkey === undefined) throw new ConsoleFault('its passkey is not linked to this server');
  await verifyAssertion(assertion, passkey, { challenge, origin, rp_id });
  return passkey;
}

/** Checks an assertion of one key. Throws `ConsoleFault`. */
export async function verifyAssertion(
  assertion: AuthenticationResponseJSON,
  { id, public_key }: Pick<Passkey, 'id' | 'public_key'>,
  { challenge, origin, rp_id }: Expected,
): Promise<void> {
  const isVerified = await attempt(async () => {
    requireOwnPage(assertion.response.clientDataJSON);
    const { verifyAuthenticationResponse } = await loadVerifiers();
    const { verified } = await verifyAuthenticationResponse({
      response: assertion,
      expectedChallenge: challenge,
      expectedOrigin: origin,
      expectedRPID: rp_id,
      // Passkeys that are on several devices count nothing.
      credential: { id, publicKey: new Uint8Array(fromBase64url(public_key)), counter: 0 },
      requireUserVerification: true,
    });
    return verified;
  });
  if (!isVerified) throw new ConsoleFault('its signature does not fit');
}

/** The new passkey that answers a link, without its name. Throws `ConsoleFault`. */
export async function verifyRegistration(
  registration: RegistrationResponseJSON,
  { challenge, origin, rp_id }: Expected,
): Promise<Pick<Passkey, 'id' | 'public_key' | 'fingerprint'>> {
  return attempt(async () => {
    requireOwnPage(registration.response.clientDataJSON);
    const { verifyRegistrationResponse } = await loadVerifiers();
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response: registration,
      expectedChallenge: challenge,
      expectedOrigin: origin,
      expectedRPID: rp_id,
      requireUserVerification: true,
    });
    if (!verified) throw new ConsoleFault('its signature does not fit');
    const { id, publicKey } = registrationInfo.credential;
    const fingerprint = await fingerprintOf(publicKey);
    return { id, public_key: Buffer.from(publicKey).toString('base64url'), fingerprint };
  });
}

/** Loaded for the first signature: it holds some megabytes. Its parser of certificates needs the polyfill before it. */
async function loadVerifiers() {
  await import('reflect-metadata');
  return import('@simplewebauthn/server');
}

/** A frame of another page asks nothing of a passkey. */
function requireOwnPage(clientData: string): void {
  const { crossOrigin } = JSON.parse(Buffer.from(clientData, 'base64url').toString('utf8')) as Record<string, unknown>;
  if (crossOrigin === true) throw new ConsoleFault('it was made in a frame of another page');
}

async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ConsoleFault) throw error;
    throw new ConsoleFault(`its signature does not count: ${error instanceof Error ? error.message : String(error)}`);
  }
}
