import { closeSync } from 'node:fs';
import { duplicate } from '../linux/descriptors.ts';
import { OpenWatch } from '../linux/inotify.ts';
import type { OutputDescriptors } from './directories.ts';
import { type Session, STREAMS, type StreamName } from './session.ts';

/** Events of one stream: opened by a process that has not closed it yet, and closed by one that could write. */
interface Seen {
  isOpen: boolean;
  isReopened: boolean;
  /**
   * While this is open, the descriptors of the command's start are not closed: a process that closes one has opened it
   * again.
   */
  readonly held: number | undefined;
}

type Streams = Readonly<Record<StreamName, Seen>>;

/**
 * Finds commands that have opened their own streams again, as by `> /dev/stderr`. The streams are files, which that
 * empties unless the program appends, without a trace of what was there before.
 */
export class Reopened {
  readonly #events = new OpenWatch();
  readonly #watched = new Map<number, Streams>();
  readonly #watches = new Map<Session, number>();

  /** Watches the streams of a session, which only its command opens for writing from now on. */
  watch(session: Session, { stdout, stderr }: OutputDescriptors): void {
    // The agent itself then no longer opens them.
    session.keepReadable();
    const watch = this.#events.add(session.directory);
    if (watch === undefined) return;
    this.#watches.set(session, watch);
    const blank = (fd: number): Seen => ({ isOpen: false, isReopened: false, held: duplicate(fd) });
    this.#watched.set(watch, { stdout: blank(stdout), stderr: blank(stderr) });
  }

  /**
   * Returns the streams that were opened again, as far as they were watched, by a command of which `survivors`
   * processes are left. Ends the watch.
   */
  end(session: Session, survivors = 0): StreamName[] {
    const watch = this.#watches.get(session);
    if (watch === undefined) return [];
    this.#look();
    const streams = this.#watched.get(watch);
    this.#events.remove(watch);
    this.#watches.delete(session);
    this.#watched.delete(watch);
    return STREAMS.filter((name) => streams !== undefined && isReopened(streams[name], survivors));
  }

  #look(): void {
    for (const { watch, name, kind } of this.#events.take()) {
      const seen = name === 'stdout' || name === 'stderr' ? this.#watched.get(watch)?.[name] : undefined;
      if (seen === undefined) continue;
      if (kind === 'closeWrite') seen.isReopened = true;
      seen.isOpen = kind === 'open';
    }
  }
}

function isReopened({ isOpen, isReopened, held }: Seen, survivors: number): boolean {
  if (held === undefined) return false;
  closeSync(held);
  // A survivor that has not closed it yet is assumed to write; without survivors, another process reads.
  return isReopened || (isOpen && survivors > 0);
}
