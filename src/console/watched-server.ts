import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import type { EndedCommand, ShownAllowance, State, WaitingRequest } from './shown.ts';
import type { ServersCommand } from './shown-servers.ts';

/** How long a question to a server may take, and the event that cancels it. */
export interface AskLimits {
  readonly deadline: Deadline;
  readonly cancelled: OneShotEvent;
}

/** Asks one server what its console would show. Rejects with `AgentError`. */
export type AskServer = (args: unknown, limits: AskLimits) => Promise<unknown>;

/** What a server has said of itself. */
export interface Told {
  readonly frozen: State['frozen'];
  readonly aheadMs: number;
  readonly waiting: readonly WaitingRequest[];
  readonly running: readonly ServersCommand[];
  readonly ended: readonly EndedCommand[];
  readonly allowances: readonly ShownAllowance[];
  readonly counts: { readonly waiting: number; readonly running: number };
}

const WAIT_MS = 20_000;
const ANSWER_SECONDS = 30;
/** Least time between questions to a server that changes all the time. */
const REST_MS = 500;
/** Most ended commands that are shown. */
const MOST_ENDED = 3;
/** A server sends fewer of each. */
const MOST_ITEMS = 100;
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [1000, 15_000];

/** A server cuts its texts to 300 characters. */
const text = (maxLength = 400) => Type.String({ maxLength });
const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const moment = Type.Number({ minimum: 0, maximum: 8_640_000_000_000_000 });
const count = Type.Integer({ minimum: 0 });

const waitingSchema = Type.Object({
  ...{ session: UUID, number: count, asked_at: moment, expires_at: moment, token: text(), address: text() },
  ...{ profile: text(), cmd: text(), chars: count, reason: text() },
  kind: Type.Union([Type.Literal('command'), Type.Literal('file')]),
  run: Type.Union([UUID, Type.Null()]),
});
const runningSchema = Type.Object({
  ...{ session: UUID, token: text(), cmd: text(), started_at: moment, status: text(40) },
  ...{ stdout_bytes: count, stderr_bytes: count },
});
const endedSchema = Type.Object({
  ...{ session: UUID, token: text(), cmd: text(), status: text(40), ended_at: moment, duration_ms: moment },
  exit_code: Type.Union([Type.Integer(), Type.Null()]),
});
const allowanceSchema = Type.Object({
  ...{ id: UUID, token: text(), profile: text(), rule: count, words: text(), cwd: text(), until: moment },
  ...{ by: text(), uses: count },
});
const frozenSchema = Type.Object({
  ...{ since: moment, again: Type.Optional(moment), by: text(), reason: text(), by_signals: Type.Boolean() },
});
const watchedSchema = Type.Object({
  version: Type.Integer(),
  counts: Type.Optional(Type.Object({ waiting: count, running: count })),
  state: Type.Optional(
    Type.Object({
      now: moment,
      frozen: Type.Union([Type.Null(), frozenSchema]),
      waiting: Type.Array(waitingSchema, { maxItems: MOST_ITEMS }),
      running: Type.Array(runningSchema, { maxItems: MOST_ITEMS }),
      ended: Type.Array(endedSchema, { maxItems: MOST_ITEMS }),
      allowances: Type.Array(allowanceSchema, { maxItems: MOST_ITEMS }),
    }),
  ),
});

/** Returns the answer of a server to `watch`; undefined when it has another form. A server may send anything. */
export function readTold(answer: unknown, now: number): { version: number; told: Told | undefined } | undefined {
  if (!Value.Check(watchedSchema, answer)) return undefined;
  const { version, state, counts } = answer;
  if (state === undefined) return { version, told: undefined };
  // Whole seconds: the time of the transfer is not a change of clocks.
  const aheadMs = Math.round((state.now - now) / 1000) * 1000;
  // No other field of an answer is passed on to the page.
  return {
    version,
    told: {
      aheadMs,
      frozen: state.frozen === null ? null : frozenOf(state.frozen),
      waiting: state.waiting.map((one) => ({
        ...picked(one, ['session', 'number', 'token', 'address', 'profile', 'cmd', 'chars', 'kind', 'run', 'reason']),
        asked_at: one.asked_at - aheadMs,
        expires_at: one.expires_at - aheadMs,
      })),
      running: state.running.map((one) => ({
        ...picked(one, ['session', 'token', 'cmd', 'stdout_bytes', 'stderr_bytes', 'status']),
        started_at: one.started_at - aheadMs,
      })),
      ended: state.ended.slice(0, MOST_ENDED).map((one) => ({
        ...picked(one, ['session', 'token', 'cmd', 'status', 'exit_code', 'duration_ms']),
        ended_at: one.ended_at - aheadMs,
      })),
      allowances: state.allowances.map((one) => ({
        ...picked(one, ['id', 'token', 'profile', 'rule', 'words', 'cwd', 'by', 'uses']),
        until: one.until - aheadMs,
      })),
      counts: counts ?? { waiting: state.waiting.length, running: state.running.length },
    },
  };
}

function frozenOf({ again, ...frozen }: Static<typeof frozenSchema>): State['frozen'] {
  return {
    ...picked(frozen, ['since', 'by', 'reason', 'by_signals']),
    ...(again !== undefined && { again }),
  };
}

function picked<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

/** Asks one server again and again what is new there, until it is disposed of. */
export class WatchedServer implements Disposable {
  told: Told | undefined;
  /** Why it has said nothing; an empty text: it was not asked yet. */
  fault: string | undefined = '';
  readonly #over = new OneShotEvent();

  constructor(
    private readonly ask: AskServer,
    private readonly changed: () => void,
  ) {
    void this.#follow();
  }

  [Symbol.dispose](): void {
    this.#over.fire();
  }

  async #follow(): Promise<void> {
    let version = 0;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#over.fired) {
      const fault = await this.#once(version).then(
        (next) => {
          version = next;
          return undefined;
        },
        (error: unknown) => describeFault(error),
      );
      if (this.#over.fired) return;
      if (fault !== undefined) version = 0;
      // What was known stays through one fault: a person may be reading it.
      if (fault !== undefined && this.fault !== undefined) this.told = undefined;
      if (fault !== this.fault) {
        this.fault = fault;
        this.changed();
      }
      retryMs = fault === undefined ? FIRST_RETRY_MS : Math.min(2 * retryMs, LAST_RETRY_MS);
      const rest = Deadline.after((fault === undefined ? REST_MS : retryMs) / 1000);
      await rest.waitFor(this.#over);
    }
  }

  /** Returns the version of what is known then. */
  async #once(version: number): Promise<number> {
    const args = { op: 'watch', args: { version, follow: [], wait_ms: WAIT_MS } };
    const answer = await this.ask(args, { deadline: Deadline.after(ANSWER_SECONDS), cancelled: this.#over });
    const read = readTold(answer, Date.now());
    if (read === undefined) throw new Error('its answer has an unknown format');
    if (read.told !== undefined) {
      this.told = read.told;
      this.changed();
    }
    return read.version;
  }
}

/** Why a server has not answered, for a person. */
export function describeFault(error: unknown): string {
  if (error instanceof AgentError) return error.hint ?? error.error;
  return error instanceof Error ? error.message : String(error);
}
