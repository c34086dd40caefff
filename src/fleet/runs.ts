import type { WaitingPlan } from '../console/shown.ts';
import { SessionNotFound, TooManyRequests } from '../lib/errors.ts';
import { foldNames } from '../lib/fold-names.ts';
import { groupResults } from './groups.ts';
import type { Run } from './run.ts';
import type { PlanDecision } from './run-approval.ts';

/** Limits: open runs of one token, kept runs in total, and how long a run is kept after its end. */
const MOST_OPEN = 8;
const MOST_KEPT = 200;
/** Limit for the output of all runs. Above it, the oldest ended run is deleted. */
const MOST_KEPT_CHARS = 67_108_864;
const KEPT_MS = 3_600_000;
const RETRY_SECONDS = 30;

/** Plans that are listed at once, the oldest first, and names of servers of each: what the console shows has to fit. */
const MOST_PLANS = 32;
const SHOWN_NAMES = 20;
/** Characters that are shown of a command, and of the output of a canary. */
const SHOWN_CHARS = 300;
const CANARY_CHARS = 65_536;

/** The runs of this hub, in memory. When the hub ends, their commands continue on the servers. */
export class Runs {
  readonly #runs = new Map<string, { readonly run: Run; endedAt?: number }>();
  readonly #listeners = new Set<() => void>();

  /**
   * Starts a run, and returns it; the open run of this token with the same key instead, if there is one: a repeat begins
   * nothing. Throws `TooManyRequests` where the token has too many open runs.
   */
  begin(run: Run): Run {
    this.#forget();
    const open = [...this.#runs.values()].filter(
      (one) => one.run.principal === run.principal && one.endedAt === undefined,
    );
    const key = run.plan.args['key'];
    const earlier = key === undefined ? undefined : open.find((one) => one.run.plan.args['key'] === key);
    if (earlier !== undefined) return earlier.run;
    if (open.length >= MOST_OPEN)
      throw new TooManyRequests(
        RETRY_SECONDS,
        `This token already has ${open.length} unfinished runs: ${open.map((one) => one.run.id).join(', ')}. Nothing was run. Follow one with read_run.`,
      );
    const kept: { readonly run: Run; endedAt?: number } = { run };
    this.#runs.set(run.id, kept);
    run.finished.subscribe(() => {
      kept.endedAt = performance.now();
    });
    void run.start();
    return run;
  }

  /** Returns a run of this token, or undefined. */
  find(id: string, principal: string): Run | undefined {
    const run = this.#runs.get(id.toLowerCase())?.run;
    return run?.principal === principal ? run : undefined;
  }

  /** Returns a run of this token. Throws `SessionNotFound`. */
  get(id: string, principal: string): Run {
    const run = this.find(id, principal);
    if (run !== undefined) return run;
    throw new SessionNotFound(
      'There is no such run: it ended more than an hour ago, or the hub was restarted since. list_sessions with server shows what ran there.',
    );
  }

  /** The plans that servers wait for. */
  plans(): WaitingPlan[] {
    return [...this.#runs.values()].flatMap(({ run }) => planOf(run)).slice(0, MOST_PLANS);
  }

  /** Returns the text of a plan that waits, with the output of its canary; undefined where this run has no plan. */
  planText(id: string): string | undefined {
    const run = this.#runs.get(id)?.run;
    if (run?.approval === undefined || run.approval.waiting.length === 0) return undefined;
    const { plan, text } = run.approval;
    if (text !== undefined) return text;
    const asked = new Set(plan.servers.map(({ name }) => name));
    const results = [...run.progress].flatMap(([name, one]) =>
      one.kind === 'done' && !asked.has(name) ? [one.result] : [],
    );
    run.approval.text = JSON.stringify({ plan, canary: groupResults(results, CANARY_CHARS) });
    return run.approval.text;
  }

  /** Applies the decision of a person to a plan. Returns why it is refused. */
  async decide(id: string, digest: string, decision: PlanDecision): Promise<string | undefined> {
    const run = this.#runs.get(id)?.run;
    if (run?.approval === undefined) return 'no plan of this run waits';
    if (run.approval.digest !== digest) return 'the plan that waits is not what was shown';
    if (run.stopped.fired) return 'the run was stopped';
    if (run.finished.fired) return 'the run is over';
    return await run.approval.decide(decision);
  }

  /** Calls `listener` when a plan appears, is decided, or ends. */
  subscribe(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Something of a plan is another than before. */
  readonly changed = (): void => {
    for (const listener of this.#listeners) listener();
  };

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

function planOf({ approval, id: run, principal }: Run): WaitingPlan[] {
  if (approval === undefined || approval.waiting.length === 0) return [];
  const { plan, digest, askedAt: asked_at, waiting, decided, refusals } = approval;
  const cmd = String(plan.args['cmd']).slice(0, SHOWN_CHARS).toWellFormed();
  const servers = foldNames(plan.servers.map(({ name }) => name)).slice(0, SHOWN_NAMES);
  return [
    {
      ...{ run, plan: digest, asked_at, token: principal, cmd, servers, count: plan.servers.length },
      waiting: foldNames(waiting),
      decided,
      refused: [...refusals].map(([server, why]) => ({ server, why })),
    },
  ];
}
