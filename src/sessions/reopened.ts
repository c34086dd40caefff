import { closeSync } from 'node:fs';
import { OpenWatch } from '../linux/inotify.ts';
import { duplicate } from '../linux/libc.ts';
import type { OutputDescriptors } from './directories.ts';
import { type Session, STREAMS, type StreamName } from './session.ts';

/** What happened to one stream: opened by somebody who has not closed it yet, and closed by somebody who could write. */
interface Seen {
  isOpen: boolean;
  isReopened: boolean;
  /** While this is open, what the command was started with is not closed: who closes it has opened it again. */
  readonly held: number | undefined;
}

type Streams = Readonly<Record<StreamName, Seen>>;

/**
 * Which commands have opened their own streams again, as by `> /dev/stderr`. The streams are files, which that empties
 * unless the program appends: nothing of what was there before tells of it.
 */
export class Reopened {
  readonly #events = new OpenWatch();
  readonly #watched = new Map<number, Streams>();
  readonly #watches = new Map<Session, number>();

  /** Watches the streams of a session, which nobody but its command opens for writing from now on. */
  watch(session: Session, { stdout, stderr }: OutputDescriptors): void {
    // The agent itself then opens them no more.
    session.keepReadable();
    const watch = this.#events.add(session.directory);
    if (watch === undefined) return;
    this.#watches.set(session, watch);
    const blank = (fd: number): Seen => ({ isOpen: false, isReopened: false, held: duplicate(fd) });
    this.#watched.set(watch, { stdout: blank(stdout), stderr: blank(stderr) });
  }

  /**
   * The streams that were opened again, as far as they were watched, by a command of which `survivors` processes are left.
   * Watches them no longer.
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
  // A survivor that has not closed it yet is taken for one who writes; where there is none, somebody else reads.
  return isReopened || (isOpen && survivors > 0);
}
