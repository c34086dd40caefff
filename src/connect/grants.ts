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

/** What grants need. */
interface GrantsDeps {
  readonly keys: KeyRing;
  readonly key: GrantKey;
  /** The directory of the states. */
  readonly directory: string;
  /** The audit record, with every change; undefined without one. */
  readonly auditFile: string | undefined;
  readonly trail: Trail;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Notifies the owner that a grant ended because a token of it may have been stolen. */
  readonly alarm: (grant: GrantRecord, why: string) => void;
}

/** What a consent is for. */
interface Consent {
  readonly clientId: string;
  readonly clientName: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly challenge: string;
  readonly address: string;
}

/** The states of the grants of this agent. The memory is authoritative; the files are for the next start. */
export class Grants {
  readonly #states = new Map<string, GrantState>();
  /** Wrong codes and cancels, for open codes. */
  readonly #tries: CodeTries;
  readonly #decisions: OwnerDecisions;
  readonly #usedMs = new Map<string, number>();
  /** Grants whose state was read from the disk. */
  readonly #met = new Set<string>();

  /** Reads the states of all grants. */
  constructor(readonly deps: GrantsDeps) {
    this.#tries = new CodeTries(deps);
    this.#decisions = new OwnerDecisions(deps);
    this.#meet(deps.keys.grants());
  }

  /** Reads the states of new grants. A state that is not the last one an agent wrote ends its grant. */
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
      else if (state === 'forged') this.end(grant, 'its state was changed on the disk', {}, change);
      else if (state === 'none') {
        if (change > 0) this.end(grant, 'its state was removed from the disk', {}, change);
      } else if (state.change < change) this.end(grant, 'an older state was restored on the disk', {}, change);
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
      logger.warn({ token: grant.name, directory, fault }, 'the state of a grant cannot be read, so it cannot be used');
      return 'unreadable';
    }
  }

  /** Every minute: forgets grants that were removed from the file of tokens. */
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
      logger.warn(
        { directory, fault: describeErrno(error) },
        'the states of removed grants could not be removed from the disk',
      );
    }
  }

  /** Returns the grants with valid one-time codes. Records what the owner has done since the last look. */
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

  /** Returns true when a code cannot be used because its grant was made with another key. */
  get hasCodeOfAnotherKey(): boolean {
    return this.deps.keys.hasCodeOfAnotherKey;
  }

  /** Returns the grant of a code; undefined for a wrong one, which counts against every open code. */
  byCode(typed: string, address = ''): GrantRecord | undefined {
    const code = normalizeCode(typed);
    const open = this.openCodes();
    // Compares with every code, so that the time reveals nothing.
    const [found] = open.filter((grant) => isCodeOf(this.deps.key, grant, code));
    if (found === undefined) for (const grant of open) this.countWrongCode(grant, { address, kinds: [] });
    return found;
  }

  /** Counts a wrong code, for the waiting terminal. Too many end the grant before it has begun. */
  countWrongCode(grant: GrantRecord, from: Pick<CodeTry, 'address' | 'kinds'>): void {
    if (this.#tries.countWrongCode(grant, from)) this.end(grant, `${MAX_WRONG_CODES} wrong codes were tried`, {});
  }

  /** Counts a Cancel without the code, for the waiting terminal. */
  countCancel(grant: GrantRecord, address: string): void {
    this.#tries.countCancel(grant, address);
  }

  /** Uses the code of a grant. Returns the authorization code for its client. Throws `MachineRefused`. */
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

  /** Returns the state of a grant; undefined before its code was used. */
  state(id: string): GrantState | undefined {
    const grant = this.deps.keys.grant(id);
    if (grant !== undefined) this.#meet([grant]);
    return this.#states.get(id);
  }

  /** Changes a grant, on the disk and in the record. Throws `MachineRefused` and then changes nothing. */
  change(grant: GrantRecord, next: GrantState, what: string, more: Readonly<Record<string, unknown>>): GrantState {
    const { trail } = this.deps;
    const before = this.#states.get(grant.id);
    const state = this.#numbered(next, before);
    // The file first: a file ahead of the record is valid, a file behind it ends the grant.
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
        `The agent cannot store this sign-in: ${describeErrno(error)}. Tell the owner of the server.`,
        error,
      );
    }
  }

  /** Ends a grant for good, even if nothing can be written. `recorded` is its highest change in the record. */
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
        'the end of a grant could not be stored: end it with agent3 token revoke',
      );
    }
    trail.grant('ended', onRecord(grant), { why, ...more, change: state.change });
  }

  /** Notes a token of this generation: the client has it, and no longer needs the one before. */
  noteUse(grant: GrantRecord, generation: number): void {
    const { id } = grant;
    const state = this.#states.get(id);
    const now = this.deps.clock.now();
    if (state === undefined) return;
    if (state.generation === generation && state.used_at === null) {
      const used = { ...state, used_at: now };
      this.#states.set(id, used);
      this.#usedMs.set(id, now);
      // Recorded, so that the old state cannot be restored, which would make the old refresh token valid again.
      this.#attempt(grant, WAS_USED, () => void this.change(grant, used, 'used', {}));
    } else if (Math.abs(now - (this.#usedMs.get(id) ?? 0)) >= USE_NOTED_MS) {
      this.#usedMs.set(id, now);
      this.#attempt(grant, WAS_USED, () => noteUse(this.deps.directory, id, now));
    }
  }

  /** Writes what is not essential: an error is logged, and does not refuse the call. */
  #attempt({ name }: GrantRecord, what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.deps.logger.warn({ token: name, err: error }, `${what} is not on the disk`);
    }
  }
}

/** Interval at which the use of a grant is noted. */
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
