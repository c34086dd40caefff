import { hostname } from 'node:os';
import type { Access } from '../access/access.ts';
import type { Allowances } from '../access/allowances.ts';
import type { ApprovalRequest } from '../access/approval-request.ts';
import type { Approvals } from '../access/approvals.ts';
import { type Freeze, reasonOf } from '../access/freeze.ts';
import type { Commands } from '../commands/commands.ts';
import { type Clock, OneShotEvent } from '../lib/clock.ts';
import type { CommandCgroups } from '../process/cgroup.ts';
import { Terminal, type TerminalSize } from '../process/terminal.ts';
import { type Use, useOfProcesses } from '../process/use.ts';
import { keptText } from '../sessions/kept.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { version } from '../version.ts';
import type { PlansOfHub } from './plan-orders.ts';
import type { EndedCommand, RunningCommand, State, WaitingRequest } from './shown.ts';
import type { TakeOvers } from './take-over.ts';

export interface ViewDeps {
  readonly store: SessionStore;
  readonly commands: Commands;
  readonly approvals: Approvals;
  readonly allowances: Allowances;
  readonly freeze: Freeze;
  readonly takeOvers: Pick<TakeOvers, 'subscribe'>;
  readonly access: Access;
  readonly cgroups: CommandCgroups | undefined;
  readonly clock: Clock;
  readonly user: string;
  /** The name of this hub in its fleet, where it is one. */
  readonly hub?: string | undefined;
  /** Of a hub. */
  readonly plans?: Pick<PlansOfHub, 'plans' | 'subscribe'> | undefined;
}

/** Characters that are shown of a command and of the reason of a request. */
const SHOWN_CHARS = 300;
const MOST_ENDED = 20;
/** More would not fit a frame. */
const MOST_RUNNING = 150;
/** How often it is looked what commands use, while somebody watches. */
const LOOK_MS = 2000;

/** What the owner sees of the agent: a state with a number, which grows with each change. */
export class View {
  /** Of another agent's versions none is the same. */
  #version = Date.now() * 1000;
  #state: State | undefined;
  #changed = new OneShotEvent();
  #ended: EndedCommand[] | undefined;
  readonly #numbers = new Map<string, number>();
  #lastNumber = 0;
  /** Of the requests that wait: the length of their JSON. */
  readonly #chars = new Map<string, number>();
  #use = new Map<string, Use>();
  #isUnprotected = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #watchers = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `isDevelopment`: nothing is proved; `looksUnprotected`: a command can do all that root can. */
  constructor(
    private readonly deps: ViewDeps,
    private readonly isDevelopment: () => boolean,
    private readonly looksUnprotected: () => boolean,
  ) {
    const touch = (): void => this.#touch();
    deps.commands.watchCount(touch);
    deps.commands.watchEnds((record) => {
      if (this.#ended !== undefined) this.#ended = [endedOf(record), ...this.#ended].slice(0, MOST_ENDED);
      this.#touch();
    });
    deps.approvals.subscribe(touch);
    deps.allowances.subscribe(touch);
    deps.freeze.subscribe(touch);
    deps.takeOvers.subscribe(touch);
    deps.plans?.subscribe(touch);
  }

  get version(): number {
    return this.#version;
  }

  /** Fires at the next change. To be taken before a look at the version. */
  get changed(): OneShotEvent {
    return this.#changed;
  }

  /** Keeps what commands use up to date until it is disposed of. */
  watch(): Disposable {
    if (this.#watchers++ === 0) this.#timer = setInterval(() => this.#look(), LOOK_MS);
    return {
      [Symbol.dispose]: () => {
        if (--this.#watchers === 0) clearInterval(this.#timer);
      },
    };
  }

  /** The state as it is now, made once for all who ask for it. */
  state(): State {
    if (performance.now() - this.#lookedMs >= LOOK_MS) this.#look();
    this.#state ??= this.#make();
    return { ...this.#state, now: this.deps.clock.now() };
  }

  #touch(): void {
    this.#version++;
    this.#state = undefined;
    const changed = this.#changed;
    this.#changed = new OneShotEvent();
    changed.fire();
  }

  #look(): void {
    const { commands, cgroups } = this.deps;
    this.#lookedMs = performance.now();
    const wasUnprotected = this.#isUnprotected;
    this.#isUnprotected = this.looksUnprotected();
    const running = commands.running().slice(-MOST_RUNNING);
    const isSame = running.length + this.#use.size === 0 && this.#isUnprotected === wasUnprotected;
    this.#use = new Map(
      running.map(([id, tree]) => {
        const members = (): number[] => tree.members(LOOK_MS);
        return [id, cgroups?.useOf(id, members) ?? useOfProcesses(members())];
      }),
    );
    if (!isSame) this.#touch();
  }

  #make(): State {
    const { freeze, clock, user } = this.deps;
    const { current } = freeze;
    return {
      host: hostname(),
      ...(this.deps.hub !== undefined && { hub: this.deps.hub }),
      version,
      now: clock.now(),
      user,
      root_full: this.#isUnprotected,
      development: this.isDevelopment(),
      frozen:
        current === undefined
          ? null
          : {
              since: current.since,
              ...(current.again !== undefined && { again: current.again }),
              by: current.by,
              reason: current.reason === '' ? 'No reason was given.' : reasonOf(current),
              by_signals: current.signals === true,
            },
      waiting: this.#waiting(),
      plans: (this.deps.plans?.plans() ?? []).map((one) => ({
        ...one,
        token: nameOf(one.token),
        cmd: keptText(one.cmd, SHOWN_CHARS),
      })),
      running: this.#running(),
      ended: this.#lastEnded(),
      allowances: this.deps.allowances.all().map(({ id, principal, profile, rule, words, cwd, until, by, uses }) => ({
        ...{ id, token: nameOf(principal), profile, rule, until, by, uses },
        words: keptText(words, SHOWN_CHARS),
        cwd: keptText(cwd, SHOWN_CHARS),
      })),
    };
  }

  #waiting(): WaitingRequest[] {
    const requests = this.deps.approvals.waiting().map(({ request }) => request);
    const sessions = new Set(requests.map(({ session }) => session));
    for (const known of [this.#numbers, this.#chars])
      for (const session of known.keys()) if (!sessions.has(session)) known.delete(session);
    return requests.map((request) => this.#waitingOf(request));
  }

  #waitingOf(request: ApprovalRequest): WaitingRequest {
    const { session, asked_at, expires_at, token, address, profile, cmd, reason, file, plan } = request;
    const number = this.#numbers.get(session) ?? ++this.#lastNumber;
    this.#numbers.set(session, number);
    const chars = this.#chars.get(session) ?? JSON.stringify(request).length;
    this.#chars.set(session, chars);
    return {
      ...{ session, number, asked_at, expires_at, token: nameOf(token), address, profile, chars },
      cmd: keptText(cmd, SHOWN_CHARS),
      kind: file === undefined ? 'command' : 'file',
      run: plan?.run ?? null,
      reason: keptText(reason, SHOWN_CHARS),
    };
  }

  #running(): RunningCommand[] {
    const { commands, store } = this.deps;
    const sessions = commands.running().slice(-MOST_RUNNING);
    return sessions.flatMap(([id]) => {
      const session = store.find(id);
      if (session === undefined) return [];
      const input = commands.inputOf(session);
      return [runningOf(session, this.#use.get(id), input instanceof Terminal ? input.size : undefined)];
    });
  }

  #lastEnded(): EndedCommand[] {
    this.#ended ??= [...this.deps.store.all()]
      .map(({ record }) => record)
      .filter(({ closed, ended_at }) => !closed && ended_at !== null)
      .sort((a, b) => (b.ended_at ?? 0) - (a.ended_at ?? 0))
      .slice(0, MOST_ENDED)
      .map(endedOf);
    return this.#ended;
  }
}

/** A principal is the name of a token, with its id behind `#`. */
export function nameOf(principal: string): string {
  return principal.replace(/#.*$/, '');
}

function runningOf(session: Session, use: Use | undefined, size: TerminalSize | undefined): RunningCommand {
  const { principal, cmd, started_at, input, status } = session.record;
  return {
    session: session.id,
    token: nameOf(principal),
    cmd: keptText(cmd, SHOWN_CHARS),
    started_at,
    terminal: input === 'terminal',
    rows: size?.rows ?? null,
    cols: size?.cols ?? null,
    // Its shell has ended; what it started has not.
    typist: session.typist ?? null,
    background: status !== 'running',
    cpu_ms: use?.cpu_ms ?? null,
    memory_bytes: use?.memory_bytes ?? null,
    stdout_bytes: session.sizeOf('stdout'),
    stderr_bytes: session.sizeOf('stderr'),
    status,
  };
}

/** Why a command was not run, although nobody denied it. */
const UNDECIDED = ['stopped', 'expired', 'withdrawn'];

/** Returns the status of a session for a reader: for a command that was never decided on, what happened to it. */
export function shownStatus({ status, decision }: SessionRecord): string {
  const action = decision?.action ?? '';
  return status === 'denied' && UNDECIDED.includes(action) ? action : status;
}

function endedOf(record: SessionRecord): EndedCommand {
  const { session, principal, cmd, exit_code, ended_at, duration_ms } = record;
  return {
    ...{ session, token: nameOf(principal), cmd: keptText(cmd, SHOWN_CHARS), status: shownStatus(record), exit_code },
    ended_at: ended_at ?? 0,
    duration_ms: duration_ms ?? 0,
  };
}
