import { closeSync, constants, openSync, readSync, statSync, writeSync } from 'node:fs';
import type { Clock, OneShotEvent } from '../lib/clock.ts';
import { readPlain } from '../lib/files.ts';
import type { SessionId } from '../sessions/record.ts';
import { type Session, STREAMS, type StreamName } from '../sessions/session.ts';
import { MAX_TIMING_BYTES, type TimingMark, TimingWriter } from '../sessions/timing-marks.ts';

/** Commands that end sooner have no timing: in a playback, all of their output appears at once. */
const KEPT_AFTER_MS = 1000;
/** How often the streams of a command are looked at if it writes them itself … */
const LOOK_MS = 100;
/** … and if it has written nothing for a while: the time of the last write is in the files. */
const MOST_LOOK_MS = 1000;
/** Marks are written to the disk in parts of this size. */
const PART_BYTES = 512;
const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
const APPEND = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK;

interface Kept {
  readonly session: Session;
  readonly writer: TimingWriter;
  mark: TimingMark;
  timer?: ReturnType<typeof setTimeout> | undefined;
  bytes: number;
  isRefused: boolean;
}

/** Records when commands wrote output, for playback. */
export class Timings {
  readonly #kept = new Map<SessionId, Kept>();

  constructor(private readonly clock: Clock) {}

  /** Returns what a terminal calls with each number of bytes that it has written. */
  terminal(session: Session): (bytes: number) => void {
    let own: Kept | undefined;
    return (bytes) => {
      own ??= this.#open(session);
      const kept = own;
      const ms = this.clock.now() - session.record.started_at;
      kept.mark = { ms: Math.max(kept.mark.ms, ms), stdout: kept.mark.stdout + bytes, stderr: 0 };
      kept.writer.note(kept.mark);
      if (kept.writer.pending >= PART_BYTES && ms >= KEPT_AFTER_MS) this.#write(kept, kept.writer.take());
    };
  }

  /**
   * Follows the output of a command that has run for `ranMs`, until `end`: from its first second on, at once if its
   * input stays open. A terminal reports its writes itself.
   */
  follow(session: Session, ranMs: number, exited: OneShotEvent): void {
    const { input } = session.record;
    if (input === 'terminal') return;
    const timer = setTimeout(
      () => this.#look(this.#open(session), LOOK_MS),
      input === 'pipe' ? 0 : KEPT_AFTER_MS - ranMs,
    );
    exited.subscribe(() => clearTimeout(timer));
  }

  /** Resumes the same for a command that an earlier agent has started: its record continues. */
  resume(session: Session, exited: OneShotEvent): void {
    if (exited.fired || session.record.input === 'terminal') return;
    this.#look(this.#open(session, keptOf(session)), LOOK_MS);
  }

  /** Writes what was noted of a session so far. */
  flush(session: Session): void {
    const kept = this.#kept.get(session.id);
    if (kept !== undefined) this.#write(kept, kept.writer.takeAll());
  }

  /** Ends it. `report` gets how many bytes the session's timing takes of the disk, if it has one. */
  end(session: Session, report: (bytes: number) => void): void {
    const kept = this.#kept.get(session.id);
    if (kept === undefined) return;
    this.#kept.delete(session.id);
    clearTimeout(kept.timer);
    if (kept.timer !== undefined) this.#note(kept);
    if (this.clock.now() - session.record.started_at >= KEPT_AFTER_MS) this.#write(kept, kept.writer.takeAll());
    if (kept.bytes > 0) report(kept.bytes);
  }

  #open(session: Session, earlier?: Uint8Array<ArrayBuffer>): Kept {
    const writer = new TimingWriter(earlier);
    const kept: Kept = { session, writer, bytes: earlier?.length ?? 0, isRefused: false, mark: writer.last };
    this.#kept.set(session.id, kept);
    return kept;
  }

  #look(kept: Kept, pauseMs: number): void {
    const hasGrown = this.#note(kept);
    if (kept.writer.pending >= PART_BYTES) this.#write(kept, kept.writer.take());
    const nextMs = hasGrown ? LOOK_MS : Math.min(pauseMs * 1.25, MOST_LOOK_MS);
    kept.timer = setTimeout(() => this.#look(kept, nextMs), nextMs);
  }

  /** Whether there was something new. */
  #note({ session, mark, writer }: Kept): boolean {
    const [stdout, stderr] = STREAMS.map((name) => lookAt(session, name));
    if (stdout === undefined || stderr === undefined) return false;
    if (stdout.size === mark.stdout && stderr.size === mark.stderr) return false;
    const now = this.clock.now();
    // The owner of a file can change its times.
    const at = Math.min(now, Math.max(stdout.mtimeMs, stderr.mtimeMs));
    const ms = Math.max(mark.ms, Math.round(at - session.record.started_at));
    const kept = this.#kept.get(session.id);
    const next = { ms, stdout: stdout.size, stderr: stderr.size };
    if (kept !== undefined) kept.mark = next;
    writer.note(next);
    return true;
  }

  /** After one write that the disk refuses, the rest is given up: in a playback, that output appears at once. */
  #write(kept: Kept, bytes: Uint8Array): void {
    if (bytes.length === 0 || kept.isRefused) return;
    try {
      const fd = openSync(kept.session.path('timing'), APPEND, 0o600);
      try {
        kept.bytes += writeSync(fd, bytes);
      } finally {
        closeSync(fd);
      }
    } catch {
      kept.isRefused = true;
    }
  }
}

/** Returns what an earlier agent has recorded of a session. */
function keptOf(session: Session): Uint8Array<ArrayBuffer> | undefined {
  try {
    return readPlain(session.path('timing'), (fd, { size }) => {
      const bytes = new Uint8Array(Math.min(size, MAX_TIMING_BYTES));
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    });
  } catch {
    // The file is missing, or is something else.
    return undefined;
  }
}

function lookAt(session: Session, name: StreamName) {
  try {
    return statSync(session.path(name), { throwIfNoEntry: false });
  } catch {
    // Its directory was removed.
    return undefined;
  }
}
