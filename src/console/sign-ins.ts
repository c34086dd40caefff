import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { ConsoleFault } from './fault.ts';
import { signInChallenge } from './order.ts';
import { assertionSchema } from './order-schema.ts';
import { type Passkey, verifySignIn } from './passkeys.ts';
import type { People } from './people.ts';

/** What the page sends to sign in. */
export const signInSchema = Type.Object({ challenge: Type.String({ maxLength: 100 }), assertion: assertionSchema });

/** How long a challenge is valid. */
const CHALLENGE_MS = 120_000;

/** Proves who signs in: by a passkey that answers a challenge of this process, once. */
export class SignIns {
  readonly #key = randomBytes(32);
  /** Challenges that somebody has signed in with, and when they were over anyhow. */
  readonly #used = new Map<string, number>();

  constructor(private readonly people: Pick<People, 'pinned'>) {}

  /** A time, random bytes, and the MAC of both, base64url. Open challenges take no memory that a caller could fill. */
  newChallenge(): string {
    const head = Buffer.alloc(24);
    head.writeDoubleBE(Date.now());
    randomBytes(16).copy(head, 8);
    return Buffer.concat([head, this.#macOf(head)]).toString('base64url');
  }

  /** Returns the pinned passkey that has answered; undefined when the answer is of no pinned passkey. */
  async prove({ challenge, assertion }: Static<typeof signInSchema>): Promise<Passkey | undefined> {
    const pinned = this.people.pinned();
    if (pinned === undefined || !this.#isOwn(challenge)) return undefined;
    try {
      const passkey = await verifySignIn(assertion, await signInChallenge(challenge), pinned);
      if (this.#used.has(challenge)) return undefined;
      for (const [used, until] of this.#used) if (until < Date.now()) this.#used.delete(used);
      this.#used.set(challenge, Date.now() + CHALLENGE_MS);
      return passkey;
    } catch (error) {
      if (error instanceof ConsoleFault) return undefined;
      throw error;
    }
  }

  #isOwn(challenge: string): boolean {
    const bytes = Buffer.from(challenge, 'base64url');
    if (bytes.length !== 56 || !timingSafeEqual(bytes.subarray(24), this.#macOf(bytes.subarray(0, 24)))) return false;
    return Math.abs(Date.now() - bytes.readDoubleBE()) < CHALLENGE_MS;
  }

  #macOf(head: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(head).digest();
  }
}
