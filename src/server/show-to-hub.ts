import { Type } from '@sinclair/typebox';
import { readAsked } from '../console/asked.ts';
import { WireRefusal } from '../console/channel.ts';
import { ReadingDoor } from '../console/reading-door.ts';
import type { State, Watched } from '../console/shown.ts';
import { View } from '../console/view.ts';
import type { OneShotEvent } from '../lib/clock.ts';
import { InvalidArguments } from '../lib/errors.ts';
import type { Deps } from './deps.ts';

/** Most of each that fit a message of NATS. Their number is sent as well. */
const MOST = { waiting: 32, running: 60, ended: 10, allowances: 32 };

const askedSchema = Type.Object({ op: Type.String({ maxLength: 40 }), args: Type.Unknown() });

/** What this server shows to the console of its hub: its own console, read-only, without clients and tokens. */
export class HubsView {
  readonly #door: ReadingDoor;

  constructor(private readonly deps: Deps) {
    // The session names who types in a terminal.
    const takeOvers = { subscribe: () => () => {} };
    const view = new View(
      { ...deps, takeOvers },
      () => false,
      () => false,
    );
    this.#door = new ReadingDoor({ ...deps, view });
  }

  /** Rejects with `AgentError`. */
  async answer(args: unknown, interrupted: OneShotEvent): Promise<unknown> {
    const controller = new AbortController();
    using ends = new DisposableStack();
    ends.defer(interrupted.subscribe(() => controller.abort()));
    try {
      const { op, args: inner } = readAsked(askedSchema, args);
      const answer = await this.#door.answer(op, inner, controller.signal);
      if (answer === undefined) throw new WireRefusal('BadRequest', 'There is no such operation.');
      return bounded(answer());
    } catch (error) {
      if (error instanceof WireRefusal) throw new InvalidArguments(error.message);
      this.deps.logger.error({ err: error }, 'a question of the console of the hub failed');
      throw error;
    }
  }
}

/** An answer with a state that fits a message. */
function bounded(answer: unknown): unknown {
  const { state } = answer as Partial<Watched>;
  return state === undefined ? answer : { ...(answer as Watched), ...boundedState(state) };
}

function boundedState(state: State) {
  const { waiting, running, ended, allowances } = state;
  return {
    counts: { waiting: waiting.length, running: running.length },
    state: {
      ...state,
      waiting: waiting.slice(0, MOST.waiting),
      running: running.slice(-MOST.running),
      ended: ended.slice(0, MOST.ended),
      allowances: allowances.slice(0, MOST.allowances),
    },
  };
}
