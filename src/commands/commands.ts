import { Looks, type Silence } from '../diagnosis/silence.ts';
import { waitsForInput } from '../diagnosis/waiting.ts';
import { Deadline, type OneShotEvent } from '../lib/clock.ts';
import { MachineRefused } from '../lib/errors.ts';
import { hasSystemd } from '../linux/systemd.ts';
import type { Status } from '../process/beginning.ts';
import type { CommandInput } from '../process/input.ts';
import { type CommandLimits, type Outcome, type RunningCommand, type StopReason, supervise } from '../process/run.ts';
import { asksToEnd, type SignalName } from '../process/signals.ts';
import type { WatchedProcess } from '../process/start.ts';
import { type Leader, type ProcessTree, treeOfSession } from '../process/tree.ts';
import type { OutputDescriptors } from '../sessions/directories.ts';
import { outlivesMachine, type SessionId, type SessionRecord } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { CommandDeps, NewCommand } from './command.ts';
import { Dialogs } from './dialog.ts';
import { DurableStarts } from './durable-starts.ts';
import { DiskWatch, endingOf, type NotBegun, neverBegun, sizesOf, whyNotBegun } from './ending.ts';
import { Helper, type Script, startIsolated } from './helper.ts';
import { Hold } from './hold.ts';
import type { Isolation } from './isolation.ts';
import { detailsOf, type Launched, launchOnRecord, recordProcess, updateRecord } from './launch.ts';

/** Runs commands in sessions: starts them, follows them to their end, stops them. */
export class Commands {
  readonly #running = new Map<SessionId, RunningCommand>();
  /** Commands that wait for a person. */
  readonly #held = new Map<SessionId, Hold>();
  readonly #inputs = new Map<SessionId, CommandInput>();
  readonly dialogs = new Dialogs();
  /** Commands whose exit code is on disk: they survive the end of the agent. */
  readonly #outliving = new Set<SessionId>();
  readonly #looks: Looks;
  readonly #changed: (() => void)[] = [];
  readonly #ended: ((record: SessionRecord) => void)[] = [];
  readonly starts: DurableStarts;

  constructor(private readonly deps: CommandDeps) {
    this.#looks = new Looks(deps.mask);
    this.starts = new DurableStarts(deps);
  }

  /** Returns the sessions under supervision with their processes, oldest first. */
  running(): readonly (readonly [SessionId, ProcessTree])[] {
    return [...this.#running].map(([id, { tree }]) => [id, tree] as const);
  }

  /** The number of commands and left-behind processes under supervision. */
  get supervised(): number {
    return this.#running.size;
  }

  /** How many of them survive a restart of the agent: in their own cgroup, and with no call that waits for them. */
  get outliving(): number {
    return this.deps.cgroups === undefined ? 0 : this.#outliving.size;
  }

  /** Whether commands can have limits of their own. */
  get enforcesLimits(): boolean {
    return this.deps.cgroups?.enforcesLimits === true;
  }

  /** Whether commands may start services of systemd. */
  get mayStartServices(): boolean {
    return process.geteuid?.() === 0 && hasSystemd();
  }

  /** Calls `listener` with the record of each command that has ended. */
  watchEnds(listener: (record: SessionRecord) => void): void {
    this.#ended.push(listener);
  }

  /** Calls `listener` whenever `supervised` has changed. */
  watchCount(listener: () => void): void {
    this.#changed.push(listener);
  }

  /** Starts a command in a new session; `release` frees its slot. Throws `InvalidArguments` and `MachineRefused`. */
  async start(command: NewCommand, release: () => void): Promise<Session> {
    let session: Session | undefined;
    try {
      const created = this.deps.store.create(detailsOf(command));
      session = created.session;
      await this.#launch(session, created.output, command, release);
      return session;
    } catch (error) {
      release();
      if (session !== undefined) this.deps.store.discard(session);
      throw error;
    }
  }

  /** Starts a command in a session that waited for it, even without a slot; closes the descriptors. Throws as `start`. */
  async startIn(session: Session, output: OutputDescriptors, command: NewCommand): Promise<void> {
    const release = this.deps.slots.forceAcquire(command.principal);
    try {
      await this.#launch(session, output, command, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Starts a script of the agent in a profile's isolation, in a slot that `release` frees. Throws as `startIsolated`. */
  help(isolation: Isolation, script: Script, args: readonly string[], release?: () => void): Helper {
    return new Helper(startIsolated(this.deps, isolation, script, args), release);
  }

  /** Holds a session whose command waits for a person, until the hold is disposed of. */
  hold(session: Session): Hold {
    const hold = new Hold(() => this.#held.delete(session.id));
    this.#held.set(session.id, hold);
    return hold;
  }

  /** Writes the end of a session whose command has not run. */
  conclude(session: Session, change: Parameters<Session['update']>[0]): void {
    if (session.record.context !== undefined) this.deps.contexts.keep(session, false);
    updateRecord(this.deps, session, change);
    this.#isOver(session);
  }

  async #launch(session: Session, output: OutputDescriptors, command: NewCommand, release: () => void): Promise<void> {
    const { keepsExitCode, isolation, dialog } = command;
    const follow = ({ process, input, status }: Launched): OneShotEvent | undefined => {
      if (input !== undefined) this.#inputs.set(session.id, input);
      const more = { isSandboxed: isolation?.sandbox !== undefined, status };
      this.#supervise(session, process, release, session.record.execution_seconds, more);
      if (keepsExitCode) this.#outliving.add(session.id);
      recordProcess(this.deps, session, process);
      const end = this.#running.get(session.id)?.over;
      if (input !== undefined && dialog !== undefined && end !== undefined) {
        const members = (): readonly number[] => this.treeOf(session).members();
        const report = (went: Partial<SessionRecord>): void =>
          this.deps.store.find(session.id) !== undefined ? updateRecord(this.deps, session, went) : undefined;
        this.dialogs.hold({ ownArgv: this.deps.ownArgv, session, input, steps: dialog, end, members }, report);
      }
      return end;
    };
    if (outlivesMachine(session.record)) await this.starts.launch(session, output, command, follow);
    else follow(launchOnRecord(this.deps, session, output, command));
  }

  /** Returns the event of a session's end; undefined when its command has ended. */
  endOf({ id, record: { status } }: Session): OneShotEvent | undefined {
    if (status !== 'running' && status !== 'waiting') return undefined;
    return (this.#running.get(id) ?? this.starts.get(id))?.over ?? this.#held.get(id)?.settled;
  }

  /** Returns the open input of a session's command; undefined if it has none, or an earlier agent had it. */
  inputOf(session: Session): CommandInput | undefined {
    return this.#inputs.get(session.id);
  }

  /** Returns why a session's command is silent; undefined if it writes, or the reason is unknown. Takes 0.1 s. */
  async whySilent(session: Session): Promise<Silence | undefined> {
    if (!this.#running.has(session.id) || this.deps.freeze.isFrozen) return undefined;
    if (session.silentMs(this.deps.clock.now()) < SILENT_MS && !this.waitsForInput(session)) return undefined;
    const turn = () => this.deps.turns.take(session.record.principal);
    return this.#looks.at(session.id, () => this.treeOf(session).members(), this.#inputs.get(session.id)?.what, turn);
  }

  /** Whether a session's command waits for its client to type. */
  waitsForInput(session: Session): boolean {
    const input = session.typist === undefined ? this.#inputs.get(session.id) : undefined;
    return input?.isOpen === true && waitsForInput(this.treeOf(session).members(), input.what);
  }

  /** Whether a process of the session is still under supervision. */
  isSupervised(session: Session): boolean {
    return [this.#running, this.starts, this.#held].some((sessions) => sessions.has(session.id));
  }

  /** Stops every process of the session; its files stay. Throws `MachineRefused` if a process cannot be stopped. */
  async stop(session: Session, reason: StopReason): Promise<void> {
    await this.#held.get(session.id)?.withdraw('it was closed before anybody decided');
    await this.starts.ready(session.id);
    const running = this.#running.get(session.id);
    if (running === undefined) return;
    running.stop(reason);
    const limitSeconds = this.deps.settings.killGraceSeconds + STOP_MARGIN_SECONDS;
    if (await Deadline.after(limitSeconds).waitFor(running.settled)) return;
    throw new MachineRefused(
      'A process of this session does not end: the kernel holds it, most likely on a disk or network file system that does not answer. The session is kept; call close_session again later.',
      new Error('processes outlived SIGKILL'),
    );
  }

  /**
   * Sends a signal to every process of the session. Waits until `deadline` for its command to begin, and then a moment
   * for it to end if the signal asks for that. Returns how many processes there were.
   */
  async signal(session: Session, signal: SignalName, deadline: Deadline): Promise<number> {
    await this.#held.get(session.id)?.withdraw('kill_session withdrew it before anybody decided');
    await this.starts.ready(session.id);
    const running = this.#running.get(session.id);
    if (running === undefined) return 0;
    let count = running.signal(signal);
    while (count === 0 && !running.over.fired && !deadline.passed) {
      await deadline.orAfter(BEGINNING_LOOK_SECONDS).waitFor(running.over);
      count = running.signal(signal);
    }
    if (count > 0 && asksToEnd(signal)) await deadline.orAfter(END_SECONDS).waitFor(running.settled);
    return count;
  }

  /** Returns the processes of a session; `leader` is its shell, if known. */
  treeOf(session: Session, leader?: Leader): ProcessTree {
    return treeOfSession(session.id, this.deps.cgroups, leader);
  }

  /** Supervises a command, or the processes it left behind, that outlived an earlier agent. */
  takeUp(session: Session, process: WatchedProcess, secondsLeft: number): void {
    const { status, principal } = session.record;
    const release = status === 'running' ? this.deps.slots.forceAcquire(principal) : () => {};
    this.#supervise(session, process, release, secondsLeft);
  }

  #supervise(
    session: Session,
    process: WatchedProcess,
    release: () => void,
    executionSeconds: number,
    { isSandboxed = false, status }: { readonly isSandboxed?: boolean; readonly status?: Status | undefined } = {},
  ): void {
    const { killGraceSeconds: graceSeconds, maxSessionBytes: outputBytes } = this.deps.settings;
    const own = { endsWithShell: session.record.look === true, ...(isSandboxed && { init: () => status?.init() }) };
    const limits: CommandLimits = { freeze: this.deps.freeze, executionSeconds, graceSeconds, outputBytes, ...own };
    const startedAt = this.deps.clock.elapsed() - (this.deps.clock.now() - session.record.started_at);
    const tree = this.treeOf(session, process.pid > 0 ? process : undefined);
    const disk = new DiskWatch(session, limits.outputBytes, this.deps.store);
    const running = supervise(process, tree, limits, disk.room, async () => {
      const reason = await this.whySilent(session);
      if (reason !== undefined) updateRecord(this.deps, session, { waited_for: reason.what });
    });
    this.#running.set(session.id, running);
    for (const listener of this.#changed) listener();
    running.over.subscribe(() => {
      release();
      this.#outliving.add(session.id);
      for (const listener of this.#changed) listener();
      const outcome = running.outcome();
      const why = outcome && status !== undefined ? whyNotBegun(session, outcome, status) : undefined;
      if (outcome !== undefined) this.#end(session, outcome, this.deps.clock.elapsed() - startedAt, why);
    });
    running.settled.subscribe(() => {
      this.#running.delete(session.id);
      this.#outliving.delete(session.id);
      session.letGo();
      this.#inputs.get(session.id)?.release();
      this.#inputs.delete(session.id);
      for (const listener of this.#changed) listener();
      // After the answer.
      if (this.deps.cgroups !== undefined) setImmediate(() => this.deps.cgroups?.of(session.id).remove());
      if (session.record.survivors > 0) updateRecord(this.deps, session, { ...sizesOf(session, true), survivors: 0 });
      this.deps.timings.end(session, (timing_bytes) => updateRecord(this.deps, session, { timing_bytes }));
      disk.end();
    });
  }

  /** Writes the end of a command into its session. The end of left-behind processes changes no status. */
  #end(session: Session, outcome: Outcome, durationMs: number, whyNotBegun?: NotBegun): void {
    const sizes = { ...sizesOf(session, outcome.survivors === 0), survivors: outcome.survivors };
    if (session.record.status !== 'running') {
      updateRecord(this.deps, session, sizes);
      return;
    }
    const reopened = this.deps.reopened.end(session, outcome.survivors);
    const ending = endingOf(outcome, this.deps.clock.now(), durationMs);
    const refused = whyNotBegun === undefined ? {} : neverBegun(whyNotBegun);
    const isDone = ending.status === 'done' && whyNotBegun === undefined;
    const kept = session.record.context && this.deps.contexts.keep(session, isDone);
    updateRecord(this.deps, session, {
      ...sizes,
      ...this.deps.cgroups?.costOf(session.id),
      ...ending,
      ...refused,
      ...(reopened.length > 0 && { reopened }),
      ...kept,
    });
    this.#isOver(session, whyNotBegun);
  }

  #isOver(session: Session, whyNotBegun?: NotBegun): void {
    if (whyNotBegun === undefined) this.deps.trail.ended(session);
    else this.deps.trail.failed(session, whyNotBegun.reason);
    for (const listener of this.#ended) listener(session.record);
  }
}

/** How often a command that is to be signalled is looked at until it has begun; then how long it has to end. */
const BEGINNING_LOOK_SECONDS = 0.005;
const END_SECONDS = 2;
/** A command that has written nothing for this time is examined for the reason. */
const SILENT_MS = 2000;
/** In addition to the grace period: the rounds of SIGKILL, and the looks between them. */
const STOP_MARGIN_SECONDS = 6;
