import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { readPlain } from '../lib/files.ts';
import { newToken } from '../lib/token.ts';
import { ConsoleFault } from './fault.ts';
import { type Passkey, type PasskeysFile, readPasskeys } from './passkeys.ts';

/** Somebody who is signed in. */
export interface SignedIn {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** Without one they only narrow. */
  readonly passkey: boolean;
}

/** How long a person is signed in. */
const SIGNED_IN_MS = 12 * 3_600_000;
/** More than an owner has devices: the oldest goes. */
const MOST_PEOPLE = 100;

const fileSchema = Type.Object({
  /** Signed in with the passkey of this id. */
  people: Type.Array(Type.Object({ bearer_sha256: Type.String(), passkey: Type.String(), until: Type.Integer() })),
  /** Of sessions without a passkey that have signed out: they stand in root's file. */
  signed_out: Type.Array(Type.Object({ bearer_sha256: Type.String(), until: Type.Integer() })),
});

type PeopleFile = Static<typeof fileSchema>;

/** Who is signed in. Of a bearer only the hash is kept; each look is one at root's file of passkeys as well. */
export class People {
  #file: PeopleFile;

  /** `path` is the file that outlives the console; `origin` is where the passkeys have to be from. */
  constructor(
    private readonly path: string,
    private readonly passkeysFile: string,
    private readonly origin: string,
    private readonly now: () => number = Date.now,
  ) {
    this.#file = readFile(path);
  }

  /** What root has pinned for this origin; undefined where that is nothing. */
  pinned(): PasskeysFile | undefined {
    try {
      const file = readPasskeys(this.passkeysFile, process.geteuid?.());
      return file?.origin === this.origin ? file : undefined;
    } catch (error) {
      if (error instanceof ConsoleFault) return undefined;
      throw error;
    }
  }

  /** Signs in a person who has just proved that they have `passkey`. Returns the bearer. */
  signIn({ id, name }: Passkey): { readonly bearer: string; readonly name: string; readonly until: number } {
    const bearer = newToken();
    const until = this.now() + SIGNED_IN_MS;
    const people = [...this.#file.people, { bearer_sha256: sha256(bearer), passkey: id, until }];
    this.#write({ ...this.#file, people: people.slice(-MOST_PEOPLE) });
    return { bearer, name, until };
  }

  /** Returns the person who has this bearer now; undefined when nobody has it. */
  find(bearer: string): SignedIn | undefined {
    const hash = sha256(bearer);
    const pinned = this.pinned();
    const isHere = (one: { readonly bearer_sha256: string; readonly until: number }): boolean =>
      one.bearer_sha256 === hash && one.until > this.now();
    const person = this.#file.people.find(isHere);
    const passkey = pinned?.passkeys.find(({ id }) => id === person?.passkey);
    if (person !== undefined) return passkey && { name: passkey.name, until: person.until, passkey: true };
    const session = this.#file.signed_out.some(isHere) ? undefined : pinned?.sessions.find(isHere);
    return session && { name: session.name, until: session.until, passkey: false };
  }

  /** Whose a bearer is, as a subscription names them: the id of a passkey, or the hash of a bearer without one. */
  keyOf(bearer: string): string | undefined {
    if (this.find(bearer) === undefined) return undefined;
    const hash = sha256(bearer);
    return this.#file.people.find(({ bearer_sha256 }) => bearer_sha256 === hash)?.passkey ?? hash;
  }

  /** Everybody whom root has pinned, as `keyOf` names them. */
  keys(): ReadonlySet<string> {
    const { passkeys = [], sessions = [] } = this.pinned() ?? {};
    return new Set([...passkeys.map(({ id }) => id), ...sessions.map(({ bearer_sha256 }) => bearer_sha256)]);
  }

  /** Ends what a bearer is good for. */
  signOut(bearer: string): void {
    const hash = sha256(bearer);
    const { people, signed_out } = this.#file;
    const left = people.filter(({ bearer_sha256 }) => bearer_sha256 !== hash);
    const session = this.pinned()?.sessions.find(({ bearer_sha256 }) => bearer_sha256 === hash);
    const more = session === undefined ? [] : [{ bearer_sha256: hash, until: session.until }];
    this.#write({ people: left, signed_out: [...signed_out, ...more] });
  }

  #write({ people, signed_out }: PeopleFile): void {
    const now = this.now();
    this.#file = {
      people: people.filter(({ until }) => until > now),
      signed_out: signed_out.filter(({ until }) => until > now),
    };
    writeFileSync(`${this.path}.new`, JSON.stringify(this.#file), { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }
}

function readFile(path: string): PeopleFile {
  try {
    const value: unknown = readPlain(path, (fd) => JSON.parse(readFileSync(fd, 'utf8')));
    if (Value.Check(fileSchema, value)) return value;
  } catch {
    // Nobody has signed in yet, or the file is damaged: then they sign in again.
  }
  return { people: [], signed_out: [] };
}

function sha256(text: string): string {
  return new Bun.CryptoHasher('sha256').update(text).digest('hex');
}
