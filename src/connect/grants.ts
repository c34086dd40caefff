import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type GrantKey, type GrantRecord, isCodeOf, normalizeCode } from '../access/grant.ts';
import type { KeyRing } from '../access/key-ring.ts';
import { hashToken } from '../access/token-file.ts';
import { lastChanges } from '../audit/grant-lines.ts';
import type { Trail } from '../audit/trail.ts';
import type { Clock } from '../lib/clock.ts';
import { describeErrno, MachineRefused } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { newToken } from '../lib/token.ts';
import { OwnerDecisions, onRecord } from './decisions.ts';
import {
  type CodeTry,
  type GrantState,
  noteUse,
  readState,
  removeStates,
  type StateFound,
  writeState,
} from './grant-state.ts';
import { CodeTries, MAX_WRONG_CODES } from './tries.ts';

/** How long a client may take to fetch its first tokens. */
const FETCH_SECONDS = 60;

/** What grants work with. */
interface GrantsDeps {
  readonly keys: KeyRing;
  readonly key: GrantKey;
  /** Where the states lie. */
  readonly directory: string;
  /** The record, which has every change of them; undefined: there is none. */
  readonly auditFile: string | undefined;
  readonly trail: Trail;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Tells the owner that a grant ended because somebody may have stolen a token of it. */
  readonly alarm: (grant: GrantRecord, why: string) => void;
}

/** What a consent is about. */
interface Consent {
  readonly clientId: string;
  readonly clientName: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly challenge: string;
  readonly address: string;
}

/** How the grants of this agent stand. In memory is what holds; the files are for the next start. */
export class Grants {
  readonly #states = new Map<string, GrantState>();
  /** What came instead of a code that was open. */
  readonly #tries: CodeTries;
  readonly #decisions: OwnerDecisions;
  readonly #usedMs = new Map<string, number>();
  /** Those whose state was looked for on the disk. */
  readonly #met = new Set<string>();

  /** Reads how the grants stand that there are. */
  constructor(readonly deps: GrantsDeps) {
    this.#tries = new CodeTries(deps);
    this.#decisions = new OwnerDecisions(deps);
    this.#meet(deps.keys.grants());
  }

  /** Reads the states of grants that it meets for the first time; one that is not the last that an agent wrote ends its grant. */
  #meet(grants: readonly GrantRecord[]): void {
    const { keys, auditFile } = this.deps;
    const unmet = grants.filter(({ id }) => !this.#met.has(id));
    if (unmet.length === 0) return;
    for (const { id } of unmet) this.#met.add(id);
    const found = unmet.map((grant) => [grant, this.#read(grant)] as const);
    const since = found.map(([{ created_at }, state]) => (typeof state === 'string' ? created_at : state.changed_at));
    const recorded = auditFile === undefined ? new Map() : lastChanges(auditFile, Math.min(...since));
    for (const [grant, state] of found) {
      const change: number = recorded.get(grant.id) ?? 0;
      if (state === 'unreadable') keys.endGrant(grant.id);
      else if (state === 'forged') this.end(grant, 'somebody changed its state on the disk', {}, change);
      else if (state === 'none') {
        if (change > 0) this.end(grant, 'somebody removed its state from the disk', {}, change);
      } else if (state.change < change)
        this.end(grant, 'somebody put an older state of it back on the disk', {}, change);
      else {
        this.#states.set(grant.id, state);
        if (state.ended !== null) keys.endGrant(grant.id);
      }
    }
  }

  #read(grant: GrantRecord): StateFound | 'unreadable' {
    const { directory, key, logger } = this.deps;
    try {
      return readState(directory, key, grant);
    } catch (error) {
      const fault = describeErrno(error);
      logger.warn({ token: grant.name, directory, fault }, 'the state of a grant cannot be read: it cannot be used');
      return 'unreadable';
    }
  }

  /** Every minute: forgets what the file of tokens has no more. */
  sweep(): void {
    const { keys, directory, logger } = this.deps;
    this.openCodes();
    const isGone = (id: string): boolean => !keys.hasGrant(id);
    this.#tries.sweep(isGone);
    for (const memory of [this.#states, this.#usedMs, this.#met])
      for (const id of memory.keys()) if (isGone(id)) memory.delete(id);
    try {
      removeStates(directory, isGone);
    } catch (error) {
      logger.warn({ directory, fault: describeErrno(error) }, 'the states of grants that are gone stay on the disk');
    }
  }

  /** The grants whose one-time codes can be used now. Puts on record what the owner has done since the last look. */
  openCodes(): GrantRecord[] {
    const now = this.deps.clock.now();
    const grants = this.deps.keys.grants();
    this.#meet(grants);
    const open = grants.filter(
      ({ id, grant }) => this.deps.keys.grant(id) !== undefined && !this.#states.has(id) && now < grant.code_expires_at,
    );
    this.#decisions.note(grants, open, (id) => typeof this.#states.get(id)?.ended === 'string');
    return open;
  }

  /** Whether a code waits that nobody can use here, because its grant was made with another key. */
  get hasCodeOfAnotherKey(): boolean {
    return this.deps.keys.hasCodeOfAnotherKey;
  }

  /** The grant that a code opens; undefined for a wrong one, which counts against every code that is open. */
  byCode(typed: string, address = ''): GrantRecord | undefined {
    const code = normalizeCode(typed);
    const open = this.openCodes();
    // Every code is compared with: how long that takes says nothing.
    const [found] = open.filter((grant) => isCodeOf(this.deps.key, grant, code));
    if (found === undefined) for (const grant of open) this.countWrongCode(grant, { address, kinds: [] });
    return found;
  }

  /** Counts a code that did not fit, and tells the terminal that waits; one too many ends the grant before it has begun. */
  countWrongCode(grant: GrantRecord, from: Pick<CodeTry, 'address' | 'kinds'>): void {
    if (this.#tries.countWrongCode(grant, from)) this.end(grant, `${MAX_WRONG_CODES} wrong codes were tried`, {});
  }

  /** Tells the terminal that waits of a Cancel without the code. */
  countCancel(grant: GrantRecord, address: string): void {
    this.#tries.countCancel(grant, address);
  }

  /** Uses up the code of a grant; gives the authorization code for its client. Throws `MachineRefused`. */
  consent(grant: GrantRecord, { challenge, ...asked }: Consent): string {
    const secret = newToken();
    const now = this.deps.clock.now();
    const { clientId, clientName, redirectUri, scope, address } = asked;
    const state = {
      ...blankState(grant.id),
      client_id: clientId,
      client_name: clientName,
      redirect_uri: redirectUri,
      scope,
      address,
      code_sha256: hashToken(secret),
      code_challenge: challenge,
      code_until: now + FETCH_SECONDS * 1000,
    };
    this.change(grant, state, 'consent', { client: clientId, redirect: redirectUri, address });
    return `ac.${grant.id}.${secret}`;
  }

  /** How a grant stands; undefined before its code was used. */
  state(id: string): GrantState | undefined {
    const grant = this.deps.keys.grant(id);
    if (grant !== undefined) this.#meet([grant]);
    return this.#states.get(id);
  }

  /** Changes a grant, on the disk and on record. Throws `MachineRefused`; then nothing is changed. */
  change(grant: GrantRecord, next: GrantState, what: string, more: Readonly<Record<string, unknown>>): GrantState {
    const { trail } = this.deps;
    const before = this.#states.get(grant.id);
    const state = this.#numbered(next, before);
    // The file first: one that is ahead of the record is good, one that is behind it ends the grant.
    this.#write(grant, state);
    try {
      trail.grantChanges(what, onRecord(grant), state.change, more);
    } catch (error) {
      if (before === undefined) rmSync(join(this.deps.directory, `${grant.id}.json`), { force: true });
      else this.#write(grant, before);
      throw error;
    }
    this.#states.set(grant.id, state);
    return state;
  }

  #numbered(next: GrantState, before: GrantState | undefined, atLeast = 0): GrantState {
    return { ...next, change: Math.max(before?.change ?? 0, atLeast) + 1, changed_at: this.deps.clock.now() };
  }

  #write(grant: GrantRecord, state: GrantState): void {
    const { directory, key } = this.deps;
    try {
      writeState(directory, key, grant, state);
    } catch (error) {
      throw new MachineRefused(
        `The agent cannot keep this sign-in on its disk: ${describeErrno(error)}. Tell the owner of the server.`,
        error,
      );
    }
  }

  /** Ends a grant for good, whatever can be written. `recorded` is the highest change that the record has of it. */
  end(grant: GrantRecord, why: string, more: Readonly<Record<string, unknown>>, recorded = 0): void {
    const { keys, trail, logger } = this.deps;
    keys.endGrant(grant.id);
    const before = this.#states.get(grant.id);
    const state = this.#numbered({ ...(before ?? blankState(grant.id)), ended: why }, before, recorded);
    this.#states.set(grant.id, state);
    logger.warn({ token: grant.name, why }, 'a grant has ended');
    try {
      this.#write(grant, state);
    } catch (error) {
      logger.warn(
        { token: grant.name, err: error },
        'that it has ended is not on the disk: end it with agent3 token revoke',
      );
    }
    trail.grant('ended', onRecord(grant), { why, ...more, change: state.change });
  }

  /** A token of this generation came: the client has it, and the one before is not needed any more. */
  noteUse(grant: GrantRecord, generation: number): void {
    const { id } = grant;
    const state = this.#states.get(id);
    const now = this.deps.clock.now();
    if (state === undefined) return;
    if (state.generation === generation && state.used_at === null) {
      const used = { ...state, used_at: now };
      this.#states.set(id, used);
      this.#usedMs.set(id, now);
      // On record: else the state of before could be put back, and the refresh token of before were good again.
      this.#attempt(grant, WAS_USED, () => void this.change(grant, used, 'used', {}));
    } else if (Math.abs(now - (this.#usedMs.get(id) ?? 0)) >= USE_NOTED_MS) {
      this.#usedMs.set(id, now);
      this.#attempt(grant, WAS_USED, () => noteUse(this.deps.directory, id, now));
    }
  }

  /** What is nice to have on the disk, and no reason to refuse a call. */
  #attempt({ name }: GrantRecord, what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.deps.logger.warn({ token: name, err: error }, `${what} is not on the disk`);
    }
  }
}

/** How often it is noted that a grant is used. */
const USE_NOTED_MS = 60_000;
const WAS_USED = 'that a grant was used';

function blankState(id: string): GrantState {
  return {
    id,
    change: 0,
    changed_at: 0,
    ended: null,
    client_id: '',
    client_name: '',
    redirect_uri: '',
    scope: '',
    address: '',
    code_sha256: '',
    code_challenge: '',
    code_until: 0,
    generation: 0,
    used_at: null,
  };
}
