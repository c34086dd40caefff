import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import {
  describeErrno,
  isOutOfFiles,
  MachineRefused,
  SessionNotFound,
  TooManyFiles,
  TooManyRequests,
} from '../lib/errors.ts';
import { KEY_LIFETIME_SECONDS, MAX_KEYS_PER_TOKEN } from '../lib/limits.ts';
import { DYING_AGENT_MS, lockHolder, lockWithin } from '../linux/lock.ts';
import { withReserve } from '../linux/open-files.ts';
import { type OutputDescriptors, SessionDirectories } from './directories.ts';
import { keptCommand, keptDecision } from './kept.ts';
import { SessionsOnDisk } from './on-disk.ts';
import {
  asSessionId,
  bytesOnDisk,
  type NewSession,
  newSessionId,
  parseSessionId,
  RECORD_FILE,
  readRecord,
  type SessionId,
  type SessionRecord,
  START_FILE,
  timeOfId,
} from './record.ts';
import { Session } from './session.ts';

/** Another agent manages the sessions of this directory. */
export class SessionsInUse extends Error {}

/** All sessions: one directory each (0700, files 0600), with their records in memory as well. */
export class SessionStore {
  readonly #sessions = new Map<SessionId, Session>();
  /** `principal NUL key` → session. */
  readonly #keys = new Map<string, SessionId>();
  readonly onDisk: SessionsOnDisk;
  readonly #directories: SessionDirectories;
  /** The number of remembered keys of each token. */
  readonly #keyCounts = new Map<string, number>();
  /** What all sessions take of the disk, approximately: growth since the last look at each of them is added. */
  #heldBytes = 0;
  #watcher: (heldBytes: number, sessions: number) => void = () => {};

  constructor(
    readonly directory: string,
    private readonly clock: Clock,
    private readonly mostKeys = MAX_KEYS_PER_TOKEN,
  ) {
    this.onDisk = new SessionsOnDisk(directory);
    this.#directories = new SessionDirectories(directory);
  }

  /** Calls `watcher` whenever a session has grown, with the bytes of the disk that all take, and their number. */
  watchDisk(watcher: (heldBytes: number, sessions: number) => void): void {
    this.#watcher = watcher;
  }

  /** Notes that a session has grown by `bytes`, negative if it has shrunk. */
  grow(bytes: number): void {
    this.#heldBytes += bytes;
    this.#watcher(this.#heldBytes, this.#sessions.size);
  }

  /** Notes the exact size after a look at every session. */
  measured(heldBytes: number): void {
    this.#heldBytes = heldBytes;
  }

  /**
   * Makes the directory and takes its lock, so that no second agent manages the same sessions. Throws the system's
   * error, or `SessionsInUse` with what to do when another agent holds it.
   */
  open(): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    // The descriptor stays open, and the lock held, until the process ends.
    const fd = openSync(join(this.directory, '.lock'), 'a', 0o600);
    if (lockWithin(fd, DYING_AGENT_MS)) return;
    const holder = lockHolder(fd);
    closeSync(fd);
    throw new SessionsInUse(
      `another agent uses the sessions directory ${this.directory} (${holder} holds its lock); stop it, or set AGENT3_SESSIONS_DIR to another directory`,
    );
  }

  /**
   * Reads every session on disk. If a record cannot be read, because the agent ended before it was written or somebody
   * damaged it, the session gets a new one, of a command whose end is unknown and that belongs to nobody: it is swept
   * with the others.
   */
  load(): void {
    this.#directories.removeLeft();
    const entries = readdirSync(this.directory, { withFileTypes: true });
    // Ids sort by time of creation, and lists of sessions are in the order of memory.
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const id = entry.isDirectory() ? asSessionId(entry.name) : undefined;
      if (id === undefined) continue;
      const directory = join(this.directory, id);
      const stored = readRecord(directory);
      const session = new Session(id, directory, keptOf(stored?.record ?? blankRecord(id)), stored?.bytes);
      this.#add(session);
      if (!session.record.closed) this.#heldBytes += bytesOnDisk(session.record);
    }
  }

  /**
   * Makes a session and opens its streams; the caller closes the descriptors. Throws `MachineRefused`, and
   * `TooManyRequests` for one key too many: a key is never forgotten before its time.
   */
  create(details: NewSession): { readonly session: Session; readonly output: OutputDescriptors } {
    if (details.key !== null) this.#requireRoomForKey(details.principal);
    const id = newSessionId();
    const directory = join(this.directory, id);
    const record = keptOf({ ...blankRecord(id), ...details, started_at: this.clock.now() });
    const session = new Session(id, directory, record);
    try {
      const output = this.#directories.make(directory);
      this.#add(session);
      return { session, output };
    } catch (error) {
      if (isOutOfFiles(error)) throw new TooManyFiles(error);
      throw new MachineRefused(
        `Agent3 cannot store a session, so nothing was run: ${describeErrno(error)}. Tell the owner of the server to look at the sessions directory; close_session on sessions you no longer need frees space.`,
        error,
      );
    }
  }

  /** Returns the session called `id`, if it exists and belongs to `principal`. Throws `SessionNotFound`. */
  get(id: string, principal: string): Session {
    const session = this.#sessions.get(parseSessionId(id));
    if (session === undefined || session.record.closed || session.record.principal !== principal) {
      throw new SessionNotFound(
        'No session with this id: it was closed, has expired, or never existed. Run the command again if you need its output.',
      );
    }
    return session;
  }

  /** Returns the session that `principal` started with `key` within the key's lifetime, even if it is closed. */
  byKey(principal: string, key: string): Session | undefined {
    const id = this.#keys.get(keyOf(principal, key));
    const session = id === undefined ? undefined : this.#sessions.get(id);
    return session !== undefined && this.#keyIsRemembered(session) ? session : undefined;
  }

  /** Whether the disk is full: what a command writes now is refused, and lost. */
  isDiskFull(): boolean {
    try {
      const { bavail, bsize } = statfsSync(this.directory);
      return bavail * bsize < FULL_BELOW_BYTES;
    } catch {
      // The directory was removed, which other answers report.
      return false;
    }
  }

  /** Returns the session called `id` of any token, even if it is closed: for the owner, and for the agent itself. */
  find(id: string): Session | undefined {
    return this.#sessions.get(id as SessionId);
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /** Returns all sessions, the youngest first. */
  newestFirst(): Session[] {
    return [...this.#sessions.values()].reverse();
  }

  /** Removes a session's files. The record of one with a young key stays, so that the key runs nothing again. */
  remove(session: Session): void {
    this.#heldBytes -= bytesOnDisk(session.record);
    if (this.#keyIsRemembered(session)) {
      for (const name of readdirSync(session.directory)) {
        if (name === RECORD_FILE || name === START_FILE) continue;
        rmSync(join(session.directory, name), { recursive: true, force: true });
      }
      session.update({ closed: true, cmd: '' });
      session.keepStart();
      return;
    }
    this.discard(session);
  }

  /** Removes the records of closed sessions whose keys need not be remembered any more. */
  forgetOldKeys(): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.record.closed && !this.#keyIsRemembered(session)) this.discard(session);
    }
  }

  /** Removes every trace of a session, including its key: for one whose command was never started. */
  discard(session: Session): void {
    this.#forget(session);
    withReserve(() => rmSync(session.directory, { recursive: true, force: true }));
  }

  #forget(session: Session): void {
    session.letGo();
    this.#sessions.delete(session.id);
    const { principal, key } = session.record;
    if (key === null || this.#keys.get(keyOf(principal, key)) !== session.id) return;
    this.#keys.delete(keyOf(principal, key));
    this.#countKey(principal, -1);
  }

  #requireRoomForKey(principal: string): void {
    if ((this.#keyCounts.get(principal) ?? 0) < this.mostKeys) return;
    throw new TooManyRequests(
      KEYS_RETRY_SECONDS,
      `This token has used ${this.mostKeys} keys within 24 hours, and no more can be remembered, so nothing was run. Send the call without key, or later.`,
    );
  }

  #countKey(principal: string, change: 1 | -1): void {
    const count = (this.#keyCounts.get(principal) ?? 0) + change;
    if (count > 0) this.#keyCounts.set(principal, count);
    else this.#keyCounts.delete(principal);
  }

  #keyIsRemembered(session: Session): boolean {
    const age = this.clock.now() - session.record.started_at;
    return session.record.key !== null && age < KEY_LIFETIME_SECONDS * 1000;
  }

  #add(session: Session): void {
    this.#sessions.set(session.id, session);
    const { principal, key } = session.record;
    if (key === null) return;
    if (!this.#keys.has(keyOf(principal, key))) this.#countKey(principal, 1);
    this.#keys.set(keyOf(principal, key), session.id);
  }
}

/** Keys expire one by one after a day: in an hour there is usually room again. */
const KEYS_RETRY_SECONDS = 3600;
/** A file system keeps a few blocks that a small write still gets. */
const FULL_BELOW_BYTES = 65_536;

function keyOf(principal: string, key: string): string {
  return `${principal}\0${key}`;
}

/** Returns a record without what takes much memory and says little; an older agent kept whole commands. */
function keptOf(record: SessionRecord): SessionRecord {
  const { decision } = record;
  return {
    ...record,
    // If a record was cut before, the hash is of the whole command.
    ...(record.cmd_sha256 === undefined && keptCommand(record.cmd)),
    ...(decision !== undefined && { decision: keptDecision(decision) }),
  };
}

/** Makes a record of a session that has just begun, and belongs to nobody yet: no token has that name. */
function blankRecord(id: SessionId): SessionRecord {
  return {
    session: id,
    principal: '',
    status: 'running',
    cmd: '',
    cwd: '',
    key: null,
    started_at: timeOfId(id),
    ended_at: null,
    duration_ms: null,
    exit_code: null,
    stdout_bytes: 0,
    stderr_bytes: 0,
    execution_seconds: 0,
    process: null,
    survivors: 0,
    closed: false,
  };
}
