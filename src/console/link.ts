import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RegistrationResponseJSON } from '@simplewebauthn/server';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { readAtMost, readPlain, replaceReadable } from '../lib/files.ts';
import { newToken } from '../lib/token.ts';
import { ConsoleFault } from './fault.ts';
import { canonical, linkChallenge } from './order.ts';
import { type Passkey, type PasskeysFile, verifyRegistration } from './passkeys.ts';
import type { LinkAnswer } from './post-box.ts';

/** How long a link is valid. */
export const LINK_MS = 600_000;
/** Answers with a wrong MAC that end a link. */
const MOST_WRONG = 5;
/** How long a session without a passkey is good for. */
export const SESSION_MS = 12 * 3_600_000;
const MAX_ANSWER_BYTES = 65_536;

const answerSchema = Type.Object({
  link: Type.String(),
  name: Type.String({ minLength: 1, maxLength: 100 }),
  registration: Type.Optional(Type.Object({ response: Type.Object({ clientDataJSON: Type.String() }) })),
  bearer_sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  mac: Type.String(),
});

/** What a phone has answered to a link. */
export type Linked =
  | {
      readonly kind: 'passkey';
      readonly name: string;
      readonly passkey: Pick<Passkey, 'id' | 'public_key' | 'fingerprint'>;
    }
  | { readonly kind: 'session'; readonly name: string; readonly bearer_sha256: string };

interface LinkPlaces {
  /** The console's directory. */
  readonly directory: string;
  readonly answers: string;
}

/** A link is over and cannot be used any more. */
export class LinkOver extends Error {}

/** A link of root's terminal: its secret is nowhere but there and in the URL. Disposing of it ends it. */
export class Link {
  readonly #id = randomBytes(12).toString('base64url');
  readonly #secret = newToken();
  readonly until = Date.now() + LINK_MS;
  #seen = '';
  #wrong = 0;
  #state: LinkAnswer['state'] = 'open';
  /** Of the answer that counts. */
  #mac: string | undefined;

  /**
   * `tell` hears of answers that do not count: how many so far, and how many end the link. `name` is what the owner has
   * named the device already.
   */
  constructor(
    private readonly places: LinkPlaces,
    private readonly origin: string,
    private readonly tell: (wrong: number, most: number) => void,
    private readonly name?: string,
  ) {
    // The console reads in it, whatever the umask of root is.
    if (mkdirSync(places.answers, { recursive: true }) !== undefined) chmodSync(places.answers, 0o755);
    removeOldLinks(places.answers);
    this.say({ state: 'open' });
  }

  get url(): string {
    return `${this.origin}/#link=${this.#id}.${this.#secret}`;
  }

  /** Reports the state of the link to the console, and so to the page. */
  say(answer: LinkAnswer): void {
    this.#state = answer.state;
    const path = join(this.places.answers, `link-${this.#id}.json`);
    replaceReadable(path, JSON.stringify({ until: this.until, ...answer, name: this.name, mac: this.#mac }));
  }

  /** Ends the link if it is not decided yet. */
  end(): void {
    if (this.#state === 'open') this.say({ state: 'over' });
    rmSync(join(this.places.directory, 'links', `${this.#id}.json`), { force: true });
  }

  /** What a phone has answered since the last look; undefined: nothing that counts. Throws `LinkOver`. */
  async look(): Promise<Linked | undefined> {
    if (Date.now() > this.until) throw new LinkOver('nobody has answered within ten minutes');
    const text = readAnswer(join(this.places.directory, 'links', `${this.#id}.json`));
    if (text === undefined || text === this.#seen) return undefined;
    this.#seen = text;
    const linked = await this.#check(text);
    if (linked !== undefined) return linked;
    this.tell(++this.#wrong, MOST_WRONG);
    if (this.#wrong >= MOST_WRONG) throw new LinkOver(`${MOST_WRONG} wrong answers came`);
    return undefined;
  }

  async #check(text: string): Promise<Linked | undefined> {
    const value = parse(text);
    if (!Value.Check(answerSchema, value) || value.link !== this.#id) return undefined;
    try {
      return await this.#linkedOf(value);
    } catch (error) {
      // What is nested too deeply for the stack is no phone's either.
      if (error instanceof ConsoleFault || error instanceof RangeError) return undefined;
      throw error;
    }
  }

  /** Throws `ConsoleFault`. */
  async #linkedOf({ mac, ...rest }: Static<typeof answerSchema>): Promise<Linked | undefined> {
    const expected = createHmac('sha256', this.#secret).update(canonical(rest)).digest();
    const given = Buffer.from(mac, 'base64url');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const { name, registration, bearer_sha256 } = rest;
    this.#mac = mac;
    if (registration === undefined)
      return bearer_sha256 === undefined ? undefined : { kind: 'session', name, bearer_sha256 };
    const expectation = {
      challenge: await linkChallenge(this.#secret),
      origin: this.origin,
      rp_id: new URL(this.origin).hostname,
    };
    const passkey = await verifyRegistration(registration as RegistrationResponseJSON, expectation);
    return { kind: 'passkey', name, passkey };
  }
}

/** What root has pinned, with one more; what was pinned for another origin is over. */
export function withLinked(file: PasskeysFile | undefined, linked: Linked, origin: string, now: number): PasskeysFile {
  const before = file?.origin === origin ? file : { passkeys: [], sessions: [] };
  const { passkeys } = before;
  const sessions = before.sessions.filter(({ until }) => until > now);
  const place = { origin, rp_id: new URL(origin).hostname };
  const { name } = linked;
  if (linked.kind === 'session')
    return {
      ...place,
      passkeys,
      sessions: [...sessions, { bearer_sha256: linked.bearer_sha256, name, until: now + SESSION_MS }],
    };
  const others = passkeys.filter(({ id }) => id !== linked.passkey.id);
  return { ...place, passkeys: [...others, { ...linked.passkey, name, made_at: now }], sessions };
}

/** In the directory of the console, which may be another's by now: no link is followed, no pipe waited for. */
function readAnswer(path: string): string | undefined {
  try {
    return readPlain(path, (fd) => readAtMost(fd, MAX_ANSWER_BYTES) ?? 'too large');
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function removeOldLinks(answers: string): void {
  for (const name of readdirSync(answers).filter((entry) => entry.startsWith('link-'))) {
    const path = join(answers, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age > 2 * LINK_MS) rmSync(path, { force: true });
  }
}
