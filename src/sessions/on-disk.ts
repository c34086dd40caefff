import { closeSync, fsync, openSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GroupSync } from '../lib/files.ts';
import { RECORD_FILE, START_FILE } from './record.ts';
import { type Session, STREAMS, type StreamName } from './session.ts';

const sync = promisify(fsync);

/** Output up to this size is synced before an answer; the kernel writes more within half a minute. */
const SYNCED_OUTPUT_BYTES = 1_048_576;

/** Syncs sessions to the disk. */
export class SessionsOnDisk {
  readonly #directory: GroupSync;
  /** The records that are on the disk. */
  readonly #synced = new WeakMap<Session, Session['record']>();

  constructor(directory: string) {
    this.#directory = new GroupSync(() => syncFile(directory));
  }

  /** Resolves when what `keepStart` wrote of a session is on the disk. Rejects with the system's error. */
  syncStart(session: Session): Promise<void> {
    return this.#sync(session, START_FILE);
  }

  /** Resolves when a session is on the disk as it is now, except for long output. Rejects with the system's error. */
  sync(session: Session): Promise<void> {
    return this.#sync(session, RECORD_FILE);
  }

  async #sync(session: Session, file: string): Promise<void> {
    const { record } = session;
    const before = this.#synced.get(session);
    if (before === record) return;
    const isSmall = session.totalBytes() <= SYNCED_OUTPUT_BYTES;
    const streams = isSmall ? STREAMS.filter((name) => session.sizeOf(name) > 0) : [];
    // All at once: a journal takes them in one turn.
    await Promise.all([
      syncFile(join(session.directory, file)),
      syncFile(session.directory),
      ...(before === undefined ? [this.#directory.request()] : []),
      ...streams.map((name) => syncStream(session, name)),
    ]);
    this.#synced.set(session, record);
  }
}

/** Opening takes microseconds; unlike the sync, it needs no other thread. */
async function syncFile(path: string): Promise<void> {
  await syncAndClose(openSync(path, 'r'));
}

/** If a running command's stream is opened by its path, it looks as if the command had opened it again (`Reopened`). */
async function syncStream(session: Session, name: StreamName): Promise<void> {
  try {
    await syncAndClose(session.openReading(name));
  } catch {
    // It was removed, or the disk fails: then syncing the record reports it.
  }
}

async function syncAndClose(fd: number): Promise<void> {
  try {
    await sync(fd);
  } finally {
    closeSync(fd);
  }
}
