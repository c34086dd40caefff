import { libc } from './libc.ts';

/** inotify(7): IN_NONBLOCK | IN_CLOEXEC; the events. */
const WITHOUT_WAITING = 0o4000 | 0o2000000;
const CLOSE_WRITE = 0x8;
const CLOSE_NOWRITE = 0x10;
const OPEN = 0x20;
const OVERFLOW = 0x4000;
/** `struct inotify_event` before its name: watch, mask, cookie, and the length of the name. */
const EVENT_BYTES = 16;
/** Some hundred events. */
const ROOM_BYTES = 16_384;

/** A file in a watched directory was opened, or closed by a process that could write to it or not. */
export interface FileEvent {
  readonly watch: number;
  readonly name: string;
  readonly kind: 'open' | 'closeWrite' | 'closeRead';
}

/**
 * Reports which files in directories are opened and closed, by inotify(7). Nothing runs meanwhile: the kernel keeps the
 * events.
 */
export class OpenWatch {
  #fd: number | undefined;
  readonly #room = Buffer.alloc(ROOM_BYTES);

  /** Watches a directory; undefined if the kernel refuses. */
  add(directory: string): number | undefined {
    const mask = OPEN | CLOSE_WRITE | CLOSE_NOWRITE;
    this.#fd ??= libc().inotify_init1(WITHOUT_WAITING);
    const watch = this.#fd < 0 ? -1 : libc().inotify_add_watch(this.#fd, Buffer.from(`${directory}\0`), mask);
    return watch < 0 ? undefined : watch;
  }

  /** Removes a watch; its pending events are gone. */
  remove(watch: number): void {
    libc().inotify_rm_watch(this.#fd ?? -1, watch);
  }

  /** Returns the events since the last call. If there were too many for the kernel, the last ones are missing. */
  *take(): Generator<FileEvent, void> {
    for (;;) {
      const length = Number(libc().read(this.#fd ?? -1, this.#room, ROOM_BYTES));
      if (length <= 0) return;
      for (let at = 0; at < length; ) {
        const nameBytes = this.#room.readUInt32LE(at + 12);
        const mask = this.#room.readUInt32LE(at + 4);
        const name = this.#room.toString('latin1', at + EVENT_BYTES, at + EVENT_BYTES + nameBytes).replace(/\0+$/, '');
        const kind = (mask & OVERFLOW) !== 0 ? undefined : kindOf(mask);
        if (kind !== undefined) yield { watch: this.#room.readInt32LE(at), name, kind };
        at += EVENT_BYTES + nameBytes;
      }
    }
  }
}

function kindOf(mask: number): FileEvent['kind'] | undefined {
  if ((mask & OPEN) !== 0) return 'open';
  if ((mask & CLOSE_WRITE) !== 0) return 'closeWrite';
  return (mask & CLOSE_NOWRITE) !== 0 ? 'closeRead' : undefined;
}
