import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { delay } from '../lib/clock.ts';
import { HUB_URL, NAME } from './inventory.ts';
import { listSchema } from './key-chain.ts';
import { base32, SigningKey } from './keys.ts';
import { connectOnce, isRefused, type NatsAddress, type NatsConnection } from './nats.ts';
import { joinAnswerSubject, joinSubject } from './nats-config.ts';

/** 80 bits: too many to guess, even with the public key that is derived from the code. */
const CODE_BYTES = 10;
const ID_BYTES = 5;
/** How long an invitation waits. */
export const INVITE_MS = 600_000;

const key = Type.String({ pattern: '^U[A-Z2-7]{55}$' });

/** The first message of a server that joins. */
const helloSchema = Type.Object({
  key,
  profile: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' }),
  nonce: Type.String({ maxLength: 64 }),
});
export type Hello = Static<typeof helloSchema>;

/** The answer of the hub, which the server pins. */
const welcomeSchema = Type.Object({
  hub: Type.String({ pattern: NAME }),
  hub_key: key,
  url: Type.String({ pattern: HUB_URL }),
  certificate: Type.String({ maxLength: 20_000 }),
  name: Type.String({ pattern: NAME }),
  nonce: Type.String({ maxLength: 64 }),
  /** Of its console: who has one of them may approve on the server. */
  passkeys: Type.Optional(listSchema),
});
export type Welcome = Static<typeof welcomeSchema>;

const doneSchema = Type.Object({ key, nonce: Type.String({ maxLength: 64 }) });

/** A server cannot join; the message says why and what to do. */
export class JoinFault extends Error {}

/** The keys that both ends of an invitation derive from its code. */
export class InviteSecret {
  /** The key that the joining server connects with. */
  readonly guest: SigningKey;
  readonly #mac: Buffer;

  /** Takes the code as a person types it. Throws `JoinFault`. */
  constructor(
    readonly id: string,
    code: string,
  ) {
    const plain = code.toUpperCase().replaceAll(/[\s-]/g, '');
    if (!/^[A-Z2-7]{16}$/.test(plain)) throw new JoinFault('a code has 16 letters and digits: ABCD-EFGH-IJKL-MNOP');
    const derived = (what: string): Buffer => Buffer.from(hkdfSync('sha256', plain, id, `agent3 ${what}`, 32));
    this.guest = SigningKey.ofRaw(derived('join key'));
    this.#mac = derived('join mac');
  }

  /** Creates an invitation, with its code in groups of four letters. */
  static create(): { readonly secret: InviteSecret; readonly code: string } {
    const code = base32(randomBytes(CODE_BYTES)).replace(/.{4}(?=.)/g, '$&-');
    return { secret: new InviteSecret(base32(randomBytes(ID_BYTES)).toLowerCase(), code), code };
  }

  seal(kind: string, value: unknown): string {
    const body = JSON.stringify(value);
    return JSON.stringify({ mac: this.#macOf(kind, body), body });
  }

  /** Returns the message of the other end. Undefined where it is from somebody else. */
  open<T extends TSchema>(kind: string, schema: T, text: string): Static<T> | undefined {
    try {
      const { mac, body } = JSON.parse(text) as { readonly mac: unknown; readonly body: unknown };
      if (typeof mac !== 'string' || typeof body !== 'string') return undefined;
      const [given, expected] = [mac, this.#macOf(kind, body)].map((one) => Buffer.from(one));
      if (given === undefined || expected === undefined || given.length !== expected.length) return undefined;
      const value: unknown = timingSafeEqual(given, expected) ? JSON.parse(body) : undefined;
      return Value.Check(schema, value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  #macOf(kind: string, body: string): string {
    return createHmac('sha256', this.#mac).update(`${kind}\n${body}`).digest('base64url');
  }
}

/** The side of the hub: waits for the server that has the code. */
export class InviteHost implements AsyncDisposable {
  #hello: Hello | undefined;
  readonly #joined = Promise.withResolvers<Hello>();
  readonly #confirmed = Promise.withResolvers<void>();

  private constructor(
    private readonly connection: NatsConnection,
    private readonly secret: InviteSecret,
    private readonly welcome: (hello: Hello) => Omit<Welcome, 'nonce'>,
  ) {}

  /**
   * Listens on `connection`. `welcome` takes the first server that has the code into the fleet, and returns what it pins;
   * what it throws ends the invitation.
   */
  static async open(
    connection: NatsConnection,
    secret: InviteSecret,
    welcome: (hello: Hello) => Omit<Welcome, 'nonce'>,
  ): Promise<InviteHost> {
    const host = new InviteHost(connection, secret, welcome);
    connection.subscribe(joinSubject(secret.id), {
      callback: (error, message) => {
        if (error === null) host.#heard(message.string());
      },
    });
    await connection.flush();
    return host;
  }

  /** The server that has come; rejects with what `welcome` threw. */
  get joined(): Promise<Hello> {
    return this.#joined.promise;
  }

  /** Resolves when it has pinned the hub. */
  get confirmed(): Promise<void> {
    return this.#confirmed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }

  #heard(text: string): void {
    const hello = this.secret.open('hello', helloSchema, text);
    if (hello !== undefined) this.#greeted(hello);
    const done = this.secret.open('done', doneSchema, text);
    if (done !== undefined && done.key === this.#hello?.key) this.#confirmed.resolve();
  }

  /** Of two servers with the code, the first one counts; it asks again until it hears the answer. */
  #greeted(hello: Hello): void {
    if (this.#hello !== undefined && this.#hello.key !== hello.key) return;
    const isFirst = this.#hello === undefined;
    this.#hello = hello;
    try {
      const pinned = isFirst ? this.welcome(hello) : this.#pinned;
      if (pinned === undefined) return;
      this.#pinned = pinned;
      this.connection.publish(
        joinAnswerSubject(this.secret.id),
        this.secret.seal('welcome', { ...pinned, nonce: hello.nonce }),
      );
      if (isFirst) this.#joined.resolve(hello);
    } catch (error) {
      this.#joined.reject(error);
    }
  }

  #pinned: Omit<Welcome, 'nonce'> | undefined;
}

const AGAIN_MS = 500;
const WAIT_MS = 20_000;
/** A wrong code is reported after this. */
const REFUSED_MS = 3000;
/** The same of a closed port. It is longer than an attempt that nobody answers. */
const CONNECT_MS = 8000;

/** Joins a fleet: the side of the server. Calls `pin` with the answer of the hub. Rejects with `JoinFault`. */
export async function joinFleet(
  url: string,
  secret: InviteSecret,
  { key: own, profile }: { readonly key: SigningKey; readonly profile: string },
  pin: (welcome: Welcome) => void,
): Promise<Welcome> {
  const connection = await connected(url, secret);
  try {
    const welcome = await greet(connection, secret, own, profile);
    // From here on, only the pinned certificate and the key of the server count.
    const address = { url: welcome.url, certificate: welcome.certificate, key: own, name: 'agent3 join' };
    await (await connectedAsServer(address)).close();
    pin(welcome);
    connection.publish(joinSubject(secret.id), secret.seal('done', { key: own.publicKey, nonce: welcome.nonce }));
    await connection.flush();
    return welcome;
  } finally {
    await connection.close();
  }
}

async function connected(url: string, secret: InviteSecret): Promise<NatsConnection> {
  try {
    // A machine in between sees only public keys. The messages are signed with the code.
    const address = { url, certificate: undefined, key: secret.guest, name: 'agent3 join' };
    return await connectWithin(address, (error) => (isRefused(error) ? REFUSED_MS : CONNECT_MS));
  } catch (error) {
    throw new JoinFault(
      isRefused(error)
        ? 'the code is wrong, was already used, or has expired after ten minutes. For a new one, on the hub: sudo agent3 fleet invite NAME'
        : `${url} cannot be reached: ${textOf(error)}. Its port has to be open to this server`,
    );
  }
}

/** Connects with the new key, which NATS knows only a moment later. */
async function connectedAsServer(address: NatsAddress): Promise<NatsConnection> {
  try {
    return await connectWithin(address, () => WAIT_MS);
  } catch (error) {
    throw new JoinFault(
      `the hub has accepted this server, but the server cannot connect to ${address.url}: ${textOf(error)}`,
    );
  }
}

/**
 * Connects, and tries again. While NATS reads its configuration, as it does for each invitation, it drops or refuses the
 * connections that begin.
 */
async function connectWithin(address: NatsAddress, mostMs: (error: unknown) => number): Promise<NatsConnection> {
  const begun = performance.now();
  for (;;) {
    try {
      return await connectOnce(address);
    } catch (error) {
      if (performance.now() - begun > mostMs(error)) throw error;
      await delay(AGAIN_MS);
    }
  }
}

async function greet(
  connection: NatsConnection,
  secret: InviteSecret,
  own: SigningKey,
  profile: string,
): Promise<Welcome> {
  const nonce = randomBytes(16).toString('base64url');
  const { promise, resolve, reject } = Promise.withResolvers<Welcome>();
  connection.subscribe(joinAnswerSubject(secret.id), {
    callback: (error, message) => {
      const welcome = error === null ? secret.open('welcome', welcomeSchema, message.string()) : undefined;
      if (welcome?.nonce === nonce) resolve(welcome);
    },
  });
  const hello = (): void =>
    connection.publish(joinSubject(secret.id), secret.seal('hello', { key: own.publicKey, profile, nonce }));
  hello();
  const again = setInterval(hello, AGAIN_MS);
  const late = setTimeout(
    () => reject(new JoinFault('the hub does not answer: agent3 fleet invite has to be running there')),
    WAIT_MS,
  );
  try {
    return await promise;
  } finally {
    clearInterval(again);
    clearTimeout(late);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
