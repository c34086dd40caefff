import type { PlanOfCall } from '../access/plan.ts';
import type { Answer } from '../calls/context.ts';
import { type Deadline, OneShotEvent } from '../lib/clock.ts';
import { AgentError, OutcomeUnknown, ServerRefusal, ServerUnreachable } from '../lib/errors.ts';
import type { FleetServer } from './door.ts';
import type { Result } from './groups.ts';
import type { RunApproval } from './run-approval.ts';

/** The plan of a run: command, servers, batches, and when it stops. */
export interface Plan {
  /** In the order in which they are called. */
  readonly servers: readonly FleetServer[];
  /** Arguments of `shell` on each of them. */
  readonly args: Readonly<Record<string, unknown>>;
  /** Limit for servers at the same time. */
  readonly parallel: number;
  /** How many servers each batch has. */
  readonly batches: readonly number[];
  /** With more of them, the next batch is not begun. */
  readonly maxFailures: number;
}

/** Runs an operation on a server of the run. `plan` is the shared approval of several servers; `cancelled` takes the call back. */
export type CallOne = (
  server: FleetServer,
  op: 'shell' | 'read_session' | 'kill_session',
  args: Plan['args'],
  plan?: PlanOfCall,
  cancelled?: OneShotEvent,
) => Promise<Answer>;

/** Creates the shared approval for these servers of a run. */
export type AskOnce = (run: Run, servers: readonly FleetServer[]) => RunApproval | undefined;

/** The state of one server of a run. */
export type Progress =
  | { readonly kind: 'not started' }
  | { readonly kind: 'running'; readonly session?: string }
  | { readonly kind: 'waiting'; readonly session: string }
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'failed'; readonly status: number; readonly error: string; readonly message: string };

/** How long one request waits for the end of a command. */
const FOLLOW_SECONDS = 30;
/** Pause before an unreachable server is called again. Its command continues. */
const AWAY_MS = 5000;
/** Pauses after a server that answered too early: they grow from the first to the longest. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** How long a command is followed, with the time until its approval. */
const FOLLOWED_MS = 2 * 3_600_000;

/** One command on many servers, from the first call to the last end. A call is never repeated, so nothing runs twice. */
export class Run {
  readonly id = Bun.randomUUIDv7();
  /** Fires when the run is over. */
  readonly finished = new OneShotEvent();
  /** Fires when nothing runs and the run waits for a person. */
  readonly asks = new OneShotEvent();
  /** Fires when the run is stopped: it begins nothing more, and takes back each call whose session is not known yet. */
  readonly stopped = new OneShotEvent();
  readonly #called = new Map<FleetServer, OneShotEvent>();
  readonly #progress = new Map<string, Progress>();
  #stoppedBefore: number | undefined;
  #approval: RunApproval | undefined;

  constructor(
    readonly principal: string,
    readonly plan: Plan,
    private readonly call: CallOne,
    private readonly askOnce: AskOnce,
  ) {
    for (const { name } of plan.servers) this.#progress.set(name, { kind: 'not started' });
  }

  /** The shared approval: for all servers but the canary. */
  get approval(): RunApproval | undefined {
    return this.#approval;
  }

  /** State of each server, in the order of the plan. */
  get progress(): ReadonlyMap<string, Progress> {
    return this.#progress;
  }

  /** The batch, counted from 1, that was not begun because of failures. */
  get stoppedBefore(): number | undefined {
    return this.#stoppedBefore;
  }

  /** Names of the servers with a failure: an exit code other than 0, unreachable, or a refusal. */
  get failures(): string[] {
    return [...this.#progress].flatMap(([name, one]) => (hasFailed(one) ? [name] : []));
  }

  /** Characters of output that the run holds. */
  get chars(): number {
    let sum = 0;
    for (const one of this.#progress.values())
      if (one.kind === 'done') sum += one.result.stdout.length + one.result.stderr.length;
    return sum;
  }

  /** The servers on which it runs or waits, at most `parallel`. The event of each fires when its session is known, or it has ended there. */
  get called(): ReadonlyMap<FleetServer, OneShotEvent> {
    return this.#called;
  }

  /** Runs all batches. Resolves when the run is over. */
  async start(): Promise<void> {
    let from = 0;
    for (const [index, size] of this.plan.batches.entries()) {
      if (this.#isOver) break;
      if (index > 0 && this.failures.length > this.plan.maxFailures) {
        this.#stoppedBefore = index + 1;
        break;
      }
      const isCanary = index === 0 && this.plan.batches.length > 1;
      if (!isCanary) this.#approval ??= this.#askForRest(from);
      await this.#batch(this.plan.servers.slice(from, from + size));
      from += size;
    }
    this.finished.fire();
  }

  /** Waits for the end of the run, `deadline`, or one of `events`. */
  async settled(deadline: Deadline, ...events: readonly OneShotEvent[]): Promise<void> {
    await deadline.waitFor(this.finished, ...events);
  }

  async #batch(servers: readonly FleetServer[]): Promise<void> {
    const left = [...servers];
    const work = async (): Promise<void> => {
      for (let server = left.shift(); server !== undefined; server = left.shift()) {
        if (this.#isOver) return;
        await this.#one(server);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.plan.parallel, left.length) }, work));
  }

  async #one(server: FleetServer): Promise<void> {
    const known = new OneShotEvent();
    this.#called.set(server, known);
    this.#progress.set(server.name, { kind: 'running' });
    try {
      const answer = await this.call(server, 'shell', this.plan.args, this.#approval?.ofCall, this.stopped);
      await this.#follow(server, answer, known);
    } catch (error) {
      this.#progress.set(server.name, failureOf(error));
    } finally {
      this.#called.delete(server);
      known.fire();
      this.#approval?.over(server);
      this.#lookWhoWaits();
    }
  }

  #lookWhoWaits(): void {
    const kinds = new Set([...this.#progress.values()].map(({ kind }) => kind));
    if (kinds.has('waiting') && !kinds.has('running')) this.asks.fire();
  }

  /** Nothing more is begun. */
  get #isOver(): boolean {
    return this.stopped.fired || this.#approval?.denied.fired === true;
  }

  /** What one server alone asks is not a plan. */
  #askForRest(from: number): RunApproval | undefined {
    const rest = this.plan.servers.slice(from);
    return rest.length > 1 ? this.askOnce(this, rest) : undefined;
  }

  /** Follows a command that outlives its call to its end. */
  async #follow(server: FleetServer, first: Answer, known: OneShotEvent): Promise<void> {
    let answer = first;
    let pauseMs = FIRST_PAUSE_MS;
    const end = performance.now() + FOLLOWED_MS;
    for (;;) {
      if (!isOpen(answer)) break;
      const { session, status } = answer;
      this.#progress.set(server.name, { kind: status, session });
      known.fire();
      if (status === 'waiting') this.#approval?.wait(server);
      else this.#approval?.over(server);
      this.#lookWhoWaits();
      const from = performance.now();
      if (from > end) throw new OutcomeUnknown(`It is not followed any more: read_session ${session} shows its state.`);
      answer = await this.#next(server, session, answer);
      const isSoon = performance.now() - from < (FOLLOW_SECONDS * 1000) / 2;
      if (isSoon && isOpen(answer)) await Bun.sleep(pauseMs);
      pauseMs = isSoon ? Math.min(LONGEST_PAUSE_MS, pauseMs * 2) : FIRST_PAUSE_MS;
    }
    const most = Number(this.plan.args['max_output']);
    this.#progress.set(server.name, { kind: 'done', result: resultOf(server.name, answer, most) });
  }

  async #next(server: FleetServer, session: string, before: Answer): Promise<Answer> {
    const id = session.split('@')[0];
    try {
      return await this.call(server, 'read_session', { session: id, wait: FOLLOW_SECONDS });
    } catch (error) {
      if (!isForNow(error)) throw error;
      // One that answers is asked again after the pauses of its answers.
      if (!(error instanceof ServerRefusal)) await Bun.sleep(AWAY_MS);
      return before;
    }
  }
}

/** Whether a command is not over, or waits for a person. */
function isOpen(answer: Answer): answer is Answer & { status: 'running' | 'waiting'; session: string } {
  const { status, session } = answer;
  return (status === 'running' || status === 'waiting') && typeof session === 'string';
}

/** The server is away, stops, or is asked too much: the command continues there, and is asked for again. */
function isForNow(error: unknown): boolean {
  return error instanceof AgentError && [429, 503, 504].includes(error.status);
}

function hasFailed(progress: Progress): boolean {
  if (progress.kind === 'done') return progress.result.exitCode !== 0;
  return progress.kind === 'unreachable' || progress.kind === 'failed';
}

/** What is no refusal is a fault of the hub; its record has it. */
export function failureOf(error: unknown): Extract<Progress, { kind: 'unreachable' | 'failed' }> {
  if (!(error instanceof AgentError))
    return {
      kind: 'failed',
      status: 500,
      error: 'Internal error',
      message: 'The hub failed on this call; see its log.',
    };
  const message = error.hint ?? '';
  if (error instanceof ServerUnreachable) return { kind: 'unreachable', message };
  return { kind: 'failed', status: error.status, error: error.error, message };
}

/** `most` characters of each stream, whatever the server sends; its session where that holds more. */
function resultOf(name: string, { status, exit_code, session, ...more }: Answer, most: number): Result {
  const [stdout = '', stderr = ''] = [more['stdout'], more['stderr']].map((one) =>
    typeof one === 'string' ? one : '',
  );
  // `POST /` says where a stream ends as well.
  const isRead = more['next_offset'] === undefined || more['eof'] === true;
  const isAll = more['omitted'] === undefined && more['truncated'] !== true && isRead;
  const isCut = !isAll || stdout.length > most || stderr.length > most;
  return {
    name,
    ...(typeof status === 'string' && status !== 'done' && { status }),
    exitCode: typeof exit_code === 'number' ? exit_code : null,
    stdout: stdout.slice(0, most),
    stderr: stderr.slice(0, most),
    ...(isCut && typeof session === 'string' && { session }),
  };
}
