import { OpenWatch } from '../linux/inotify.ts';
import { type Session, STREAMS, type StreamName } from './session.ts';

/** What happened to one stream: opened by somebody who has not closed it yet, and by somebody who could write. */
interface Seen {
  isOpen: boolean;
  isReopened: boolean;
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
  watch(session: Session): void {
    // The agent itself then opens them no more.
    session.keepReadable();
    const watch = this.#events.add(session.directory);
    if (watch === undefined) return;
    this.#watches.set(session, watch);
    const blank = (): Seen => ({ isOpen: false, isReopened: false });
    this.#watched.set(watch, { stdout: blank(), stderr: blank() });
  }

  /** The streams that were opened again, as far as they were watched. Watches them no longer. */
  end(session: Session): StreamName[] {
    const watch = this.#watches.get(session);
    if (watch === undefined) return [];
    this.#look();
    const streams = this.#watched.get(watch);
    this.#events.remove(watch);
    this.#watches.delete(session);
    this.#watched.delete(watch);
    // Who has not closed it yet is taken for one who writes.
    return STREAMS.filter((name) => streams?.[name].isReopened === true || streams?.[name].isOpen === true);
  }

  #look(): void {
    for (const { watch, name, kind } of this.#events.take()) {
      const seen = name === 'stdout' || name === 'stderr' ? this.#watched.get(watch)?.[name] : undefined;
      if (seen === undefined) continue;
      // What the command was started with is closed without having been opened.
      if (kind === 'closeWrite' && seen.isOpen) seen.isReopened = true;
      seen.isOpen = kind === 'open';
    }
  }
}
