import type { Answer } from '../calls/context.ts';
import { type Deadline, OneShotEvent } from '../lib/clock.ts';
import { AgentError, OutcomeUnknown, ServerUnreachable, SessionNotFound, TooManyRequests } from '../lib/errors.ts';
import type { FleetServer } from './door.ts';
import type { Result } from './groups.ts';

/** What a run has to do: which command, on how many at once, and when it stops. */
export interface Plan {
  /** In the order in which they are called. */
  readonly servers: readonly FleetServer[];
  /** Arguments of `shell` on each of them. */
  readonly args: Readonly<Record<string, unknown>>;
  /** Most servers at once. */
  readonly parallel: number;
  /** How many servers each batch has. */
  readonly batches: readonly number[];
  /** With more of them, the next batch is not begun. */
  readonly maxFailures: number;
}

/** Runs an operation on a server of the run. */
export type CallOne = (server: FleetServer, op: 'shell' | 'read_session', args: Plan['args']) => Promise<Answer>;

/** How it is with one server of a run. */
export type Progress =
  | { readonly kind: 'not started' }
  | { readonly kind: 'running'; readonly session?: string }
  | { readonly kind: 'waiting'; readonly session: string }
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'failed'; readonly error: string; readonly message: string };

/** So long a server is asked to wait for the end of a command before it is asked again. */
const FOLLOW_SECONDS = 30;
/** A server that is away is asked again after this: what runs there continues. */
const AWAY_MS = 5000;
/** One that answers sooner than it was asked to is asked again after a pause, from short to long. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** No command runs longer, with what a person took to approve it. */
const FOLLOWED_MS = 2 * 3_600_000;

/** Runs of one token that are not over, runs that are kept in all, and for how long after their end. */
const MOST_OPEN = 8;
const MOST_KEPT = 200;
/** Output that all runs hold: beyond it the oldest that has ended is forgotten. */
const MOST_KEPT_CHARS = 67_108_864;
const KEPT_MS = 3_600_000;
const RETRY_SECONDS = 30;

/** One command on many servers, from the first call to the last end. Nothing is run twice: a call is never repeated. */
export class Run {
  readonly id = Bun.randomUUIDv7();
  /** Fires when nothing of it will change any more. */
  readonly finished = new OneShotEvent();
  readonly #cancelled = new OneShotEvent();
  readonly #progress = new Map<string, Progress>();
  #stoppedBefore: number | undefined;

  constructor(
    readonly principal: string,
    readonly plan: Plan,
    private readonly call: CallOne,
  ) {
    for (const { name } of plan.servers) this.#progress.set(name, { kind: 'not started' });
  }

  /** Of each server, in the order of the plan. */
  get progress(): ReadonlyMap<string, Progress> {
    return this.#progress;
  }

  /** The batch, counted from 1, that was not begun because of failures. */
  get stoppedBefore(): number | undefined {
    return this.#stoppedBefore;
  }

  /** What went wrong: an exit code that is not 0, a server that is not there, a refusal. */
  get failures(): string[] {
    return [...this.#progress].flatMap(([name, one]) => (hasFailed(one) ? [name] : []));
  }

  /** Characters of output that it holds. */
  get chars(): number {
    let sum = 0;
    for (const one of this.#progress.values())
      if (one.kind === 'done') sum += one.result.stdout.length + one.result.stderr.length;
    return sum;
  }

  /** Begins nothing more. What runs is for the caller to stop. */
  cancel(): void {
    this.#cancelled.fire();
  }

  /** Does all of it; resolves when it is over. */
  async start(): Promise<void> {
    let from = 0;
    for (const [index, size] of this.plan.batches.entries()) {
      if (this.#cancelled.fired) break;
      if (index > 0 && this.failures.length > this.plan.maxFailures) {
        this.#stoppedBefore = index + 1;
        break;
      }
      await this.#batch(this.plan.servers.slice(from, from + size));
      from += size;
    }
    this.finished.fire();
  }

  /** Waits until it is over, or `deadline`, or one of `events`. */
  async settled(deadline: Deadline, ...events: readonly OneShotEvent[]): Promise<void> {
    await deadline.waitFor(this.finished, ...events);
  }

  async #batch(servers: readonly FleetServer[]): Promise<void> {
    const left = [...servers];
    const work = async (): Promise<void> => {
      for (let server = left.shift(); server !== undefined; server = left.shift()) {
        if (this.#cancelled.fired) return;
        await this.#one(server);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.plan.parallel, left.length) }, work));
  }

  async #one(server: FleetServer): Promise<void> {
    this.#progress.set(server.name, { kind: 'running' });
    try {
      const answer = await this.call(server, 'shell', this.plan.args);
      await this.#follow(server, answer);
    } catch (error) {
      this.#progress.set(server.name, failureOf(error));
    }
  }

  /** Follows a command that outlives its call to its end. */
  async #follow(server: FleetServer, first: Answer): Promise<void> {
    let answer = first;
    let pauseMs = FIRST_PAUSE_MS;
    const end = performance.now() + FOLLOWED_MS;
    for (;;) {
      if (!isOpen(answer)) break;
      const { session, status } = answer;
      this.#progress.set(server.name, { kind: status, session });
      if (this.#cancelled.fired) return;
      const from = performance.now();
      if (from > end) throw new OutcomeUnknown(`It is not followed any more: read_session ${session} shows how it is.`);
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
      if (!isAway(error)) throw error;
      await Bun.sleep(AWAY_MS);
      return before;
    }
  }
}

/** Whether a command is not over, or waits for a person. */
function isOpen(answer: Answer): answer is Answer & { status: 'running' | 'waiting'; session: string } {
  const { status, session } = answer;
  return (status === 'running' || status === 'waiting') && typeof session === 'string';
}

/** It continues on the server, and is asked for again. */
function isAway(error: unknown): boolean {
  return error instanceof AgentError && (error instanceof ServerUnreachable || error.status === 504);
}

function hasFailed(progress: Progress): boolean {
  if (progress.kind === 'done') return progress.result.exitCode !== 0;
  return progress.kind === 'unreachable' || progress.kind === 'failed';
}

/** What is no refusal is a fault of the hub; its record has it. */
function failureOf(error: unknown): Progress {
  if (!(error instanceof AgentError))
    return { kind: 'failed', error: 'Internal error', message: 'A fault of the hub.' };
  const message = error.hint ?? '';
  if (error instanceof ServerUnreachable) return { kind: 'unreachable', message };
  return { kind: 'failed', error: error.error, message };
}

/** `most` characters of each stream, whatever the server sends. */
function resultOf(name: string, { status, exit_code, stdout, stderr, session, ...more }: Answer, most: number): Result {
  const isCut = more['omitted'] !== undefined || more['truncated'] === true || more['next_offset'] !== undefined;
  return {
    name,
    ...(typeof status === 'string' && status !== 'done' && { status }),
    exitCode: typeof exit_code === 'number' ? exit_code : null,
    stdout: typeof stdout === 'string' ? stdout.slice(0, most) : '',
    stderr: typeof stderr === 'string' ? stderr.slice(0, most) : '',
    ...(isCut && typeof session === 'string' && { session }),
  };
}

/** The runs of this hub. They end with its process: what they began continues on the servers. */
export class Runs {
  readonly #runs = new Map<string, { readonly run: Run; endedAt?: number }>();

  /** Starts a run. Throws `TooManyRequests` where too many of its token are not over. */
  begin(run: Run): Run {
    this.#forget();
    const open = [...this.#runs.values()].filter(
      (one) => one.run.principal === run.principal && one.endedAt === undefined,
    );
    if (open.length >= MOST_OPEN)
      throw new TooManyRequests(
        RETRY_SECONDS,
        `${open.length} runs of this token are not over: ${open.map((one) => one.run.id).join(', ')}. Nothing was run. Follow one with read_run.`,
      );
    const kept: { readonly run: Run; endedAt?: number } = { run };
    this.#runs.set(run.id, kept);
    run.finished.subscribe(() => {
      kept.endedAt = performance.now();
    });
    void run.start();
    return run;
  }

  /** A run of this token. Throws `SessionNotFound`. */
  get(id: string, principal: string): Run {
    const run = this.#runs.get(id)?.run;
    if (run?.principal === principal) return run;
    throw new SessionNotFound(
      'There is no such run: it ended more than an hour ago, or the hub was started since. list_sessions with server shows what ran there.',
    );
  }

  #forget(): void {
    const now = performance.now();
    let chars = [...this.#runs.values()].reduce((sum, { run }) => sum + run.chars, 0);
    // The oldest come first.
    for (const [id, { run, endedAt }] of this.#runs) {
      if (endedAt === undefined) continue;
      const isOld = now - endedAt > KEPT_MS;
      if (!isOld && this.#runs.size <= MOST_KEPT && chars <= MOST_KEPT_CHARS) continue;
      this.#runs.delete(id);
      chars -= run.chars;
    }
  }
}
