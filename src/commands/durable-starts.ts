import { closeSync } from 'node:fs';
import { type Deadline, OneShotEvent } from '../lib/clock.ts';
import { MachineRefused } from '../lib/errors.ts';
import type { OutputDescriptors } from '../sessions/directories.ts';
import type { SessionId } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { CommandDeps, NewCommand } from './command.ts';
import { type Launched, launchRecorded, recordStart, startError } from './launch.ts';

/**
 * Commands with a key, and those that a person has approved, start when session and record are on the disk. So they are
 * known to be started even after a crash of the machine, and nothing runs them again.
 */
export class DurableStarts {
  /** Commands that wait for the disk. */
  readonly #starting = new Map<SessionId, { readonly ready: OneShotEvent; readonly over: OneShotEvent }>();

  constructor(private readonly deps: CommandDeps) {}

  has(id: SessionId): boolean {
    return this.#starting.has(id);
  }

  /** Returns the event of the end of a command that waits for the disk, or of its failed start. */
  get(id: SessionId): { readonly over: OneShotEvent } | undefined {
    return this.#starting.get(id);
  }

  /** Resolves when the session's command no longer waits for the disk. */
  async ready(id: SessionId): Promise<void> {
    await this.#starting.get(id)?.ready.wait();
  }

  /**
   * Starts the command of a new session; closes the descriptors. `follow` returns the event of its end. Throws as
   * `launchRecorded`, and what `revalidate` of the command throws.
   */
  async launch(
    session: Session,
    output: OutputDescriptors,
    command: NewCommand,
    follow: (launched: Launched) => OneShotEvent | undefined,
  ): Promise<void> {
    const starting = { ready: new OneShotEvent(), over: new OneShotEvent() };
    this.#starting.set(session.id, starting);
    let over: OneShotEvent | undefined;
    try {
      recordStart(this.deps, session, output, command);
      await this.#reachDisk(session, output, command);
      over = follow(launchRecorded(this.deps, session, output, command));
    } finally {
      this.#starting.delete(session.id);
      if (over === undefined) starting.over.fire();
      else over.subscribe(() => starting.over.fire());
      starting.ready.fire();
    }
  }

  /** Resolves when a session and its lines of the record are on the disk, or when `deadline` has passed. */
  async onDisk(session: Session, deadline: Deadline): Promise<void> {
    const done = new OneShotEvent();
    Promise.all([this.deps.trail.synced(), this.deps.store.onDisk.sync(session)]).then(
      () => done.fire(),
      (error) => {
        this.deps.logger.warn({ session: session.id, err: error }, 'a session does not reach the disk');
        done.fire();
      },
    );
    await deadline.waitFor(done);
  }

  async #reachDisk(session: Session, output: OutputDescriptors, command: NewCommand): Promise<void> {
    try {
      session.update({});
      session.keepStart();
      await within(DISK_SECONDS, Promise.all([this.deps.trail.synced(), this.deps.store.onDisk.syncStart(session)]));
      // Many commands wait for the same sync.
      await this.deps.turns.take(command.principal);
      command.revalidate();
    } catch (error) {
      for (const fd of [output.stdout, output.stderr]) closeSync(fd);
      this.deps.trail.failed(session, error);
      throw startError(error);
    }
  }
}

/** A disk that takes longer to write a few KiB counts as failed. */
const DISK_SECONDS = 20;

async function within(seconds: number, work: Promise<unknown>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = new MachineRefused(
    `Nothing was run: the disk of the server needs longer than ${seconds} s to record the start of this command. Repeat the call later, with the same key.`,
    new Error('the disk is too slow'),
  );
  const timer = setTimeout(reject, seconds * 1000, late);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
