import { bytesOnDisk, recordBytes } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';

/** Follows what the session of a running command takes of the disk. */
export class DiskWatch {
  /** As it was last told. */
  #bytes = 0;

  constructor(
    private readonly session: Session,
    private readonly maxBytes: number,
    private readonly store: SessionStore,
  ) {}

  /**
   * Bytes that the command may still write; below 0 it is to be stopped. Blocks that are reserved for a file count as
   * what was written to it: setrlimit(2) sees sizes alone.
   */
  readonly room = (): number => {
    const { stdout, stderr } = this.session.diskUse();
    const taken = stdout.taken + stderr.taken;
    const { record } = this.session;
    this.#tell(taken + recordBytes(record));
    const { file_max } = record;
    if (file_max !== undefined && (reservesMore(stdout, file_max) || reservesMore(stderr, file_max))) return -1;
    return this.maxBytes - taken;
  };

  /** The command has ended, and the record has its sizes. */
  end(): void {
    this.#tell(bytesOnDisk(this.session.record));
  }

  #tell(bytes: number): void {
    this.store.grow(bytes - this.#bytes);
    this.#bytes = bytes;
  }
}

/** Whether a file has more blocks than bytes, and more than it may. */
function reservesMore({ size, taken }: { readonly size: number; readonly taken: number }, maxBytes: number): boolean {
  return taken > size && taken > maxBytes;
}
