import { planDigest, signedPlanOf } from '../access/approval-request.ts';
import type { PlanOfCall, WholePlan } from '../access/plan.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { foldNames } from '../lib/fold-names.ts';
import type { FleetServer } from './door.ts';

/** Passes an order of the console on to a server. Returns its result. */
export type SendOrder = (
  server: FleetServer,
  file: unknown,
) => Promise<{ readonly state: 'done' | 'refused' | 'unknown'; readonly why?: string }>;

/** What a person has said to a plan. `file` is the order, which each server checks by itself. */
export interface PlanDecision {
  readonly kind: 'approve' | 'deny';
  readonly file: unknown;
  /** Called with the servers of the plan before any of them is told. */
  readonly taken: (servers: readonly string[]) => void;
}

/** Limit for attempts with a server that refuses an order. Each attempt is a line of its record. */
const MOST_TRIES = 20;

/** One approval for several servers of a run: the servers that wait, and the decision of a person. */
export class RunApproval {
  readonly digest: string;
  readonly askedAt = Date.now();
  /** Fires when it is denied. */
  readonly denied = new OneShotEvent();
  /** As it is shown to a person, once somebody has asked. */
  text: string | undefined;
  #decision: PlanDecision | undefined;
  /** A server has taken it. */
  #isTaken = false;
  readonly #waiting = new Map<string, FleetServer>();
  readonly #tries = new Map<string, number>();
  readonly #telling = new Map<string, Promise<string | undefined>>();
  readonly #refusals = new Map<string, string>();

  /** Calls `changed` after each change. */
  constructor(
    readonly plan: WholePlan,
    private readonly send: SendOrder,
    private readonly changed: () => void,
  ) {
    this.digest = planDigest(signedPlanOf(plan));
  }

  /** What each call of it has. */
  get ofCall(): PlanOfCall {
    const { run, salt, servers } = this.plan;
    return { run, salt, servers };
  }

  /** Names of the servers whose requests wait. */
  get waiting(): readonly string[] {
    return [...this.#waiting.keys()];
  }

  get decided(): PlanDecision['kind'] | null {
    return this.#decision?.kind ?? null;
  }

  /** By server, why it does not take what was decided. */
  get refusals(): ReadonlyMap<string, string> {
    return this.#refusals;
  }

  /** Records that the request of a server waits. Sends it the decision until it accepts. */
  wait(server: FleetServer): void {
    if (!this.#waiting.has(server.name)) {
      this.#waiting.set(server.name, server);
      this.changed();
    }
    void this.#tell(server);
  }

  /** Records that the request of a server waits no longer. */
  over({ name }: FleetServer): void {
    const wasThere = this.#waiting.delete(name);
    if (this.#waiting.size === 0) this.text = undefined;
    if (this.#refusals.delete(name) || wasThere) this.changed();
  }

  /** Applies a decision to all requests that wait, and to later ones. Returns why it is refused. */
  async decide(decision: PlanDecision): Promise<string | undefined> {
    if (this.denied.fired) return 'the plan was denied';
    if (decision.kind === 'approve' && this.decided === 'approve') return 'the plan was approved before';
    decision.taken(foldNames(this.plan.servers.map(({ name }) => name)));
    this.#decision = decision;
    this.#isTaken = false;
    this.#tries.clear();
    this.#telling.clear();
    if (decision.kind === 'deny') this.denied.fire();
    const faults = await Promise.all([...this.#waiting.values()].map((server) => this.#tell(server)));
    const isRefused = faults.length > 0 && faults.every((fault) => fault !== undefined) && !this.#isTaken;
    const isDropped = isRefused && decision.kind === 'approve' && this.#decision === decision;
    // No server accepted the decision, so it is dropped. The approver sees that.
    if (isDropped) {
      this.#decision = undefined;
      this.#refusals.clear();
    }
    this.changed();
    return isDropped ? faults[0] : undefined;
  }

  /** Sends the decision. Returns why the server refuses it. Undefined where it accepted, may have accepted, or no decision exists. */
  #tell(server: FleetServer): Promise<string | undefined> {
    const { name } = server;
    const tries = this.#tries.get(name) ?? 0;
    const decision = this.#decision;
    const underWay = this.#telling.get(name);
    if (underWay !== undefined) return underWay;
    if (decision === undefined || tries >= MOST_TRIES) return Promise.resolve(this.#refusals.get(name));
    this.#tries.set(name, tries + 1);
    const telling = this.#sent(server, decision);
    this.#telling.set(name, telling);
    return telling;
  }

  async #sent(server: FleetServer, decision: PlanDecision): Promise<string | undefined> {
    const { name } = server;
    const { state, why = 'it is unknown whether the server has taken it' } = await this.send(server, decision.file);
    if (this.#decision !== decision) return why;
    if (state === 'done') {
      // It gets the decision only once.
      this.#isTaken = true;
      this.#refusals.delete(name);
      return undefined;
    }
    this.#telling.delete(name);
    if (this.#waiting.has(name)) this.#refusals.set(name, why);
    this.changed();
    // A server with an unknown outcome may have accepted the decision. It gets the decision again.
    return state === 'refused' ? `${name}: ${why}` : undefined;
  }
}
