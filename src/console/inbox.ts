import { statSync } from 'node:fs';
import type { Approvals } from '../access/approvals.ts';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { Growth } from '../sessions/growth.ts';
import {
  type CarryOutDeps,
  carryOut,
  type FileOf,
  isShared,
  noteRefusal,
  type Source,
  signatureHere,
} from './carry-out.ts';
import { ConsoleFault } from './fault.ts';
import {
  type AgentOrder,
  isForRoot,
  isSigned,
  type OrderFile,
  type OrderResult,
  type SignedOrder,
  type TakeOverOrder,
  type UndoOrder,
} from './order.ts';
import { OrderDirectory } from './order-files.ts';
import { addresseeFault, ageFault, BEFORE_START, describeSender, FORGOTTEN_MS } from './order-rules.ts';
import { type PassedResult, type PassOn, passedLine } from './passed-on.ts';
import { isStillPinned, type Signature } from './passkeys.ts';
import { decideOnPlan, type PlansOfHub } from './plan-orders.ts';
import type { TakeOvers } from './take-over.ts';

export interface InboxDeps extends CarryOutDeps {
  /** `AGENT3_CONSOLE_DIR`. */
  readonly directory: string;
  /** The agent is a service: its own user proves nothing. */
  readonly isService: boolean;
  readonly approvals: Approvals;
  readonly takeOvers: Pick<TakeOvers, 'begin' | 'handBack'>;
  /** Of a hub. */
  readonly plans?: Pick<PlansOfHub, 'decide'> | undefined;
  /** Puts back what a file had. Returns the reason when it is not done. */
  readonly undo: (order: UndoOrder, signature: Signature) => Promise<string | undefined>;
  /** Passes an order on to a server of the fleet; undefined: this is not a hub. */
  readonly passOn?: PassOn | undefined;
}

/** Orders that are remembered, by what may come in `FORGOTTEN_MS`; more are not read. */
const MOST_SEEN = 2000;
const MOST_RESULTS = 500;
/** Interval of looks for a new file that the kernel does not report. */
const LOOK_MS = 1000;
/** Least pause after a look, also as a multiple of its duration: a writer of many files cannot hold up the agent. */
const PAUSE_MS = 5;
const PAUSES_PER_LOOK = 10;

const RANKS = [
  'deny',
  'deny-plan',
  'end-allowance',
  'hand-back',
  'stop',
  'stop-all',
  'approve',
  'approve-plan',
  'allow',
  'take-over',
  'undo',
];

/** Most time of one look. The other files are read by a later one. */
const MOST_LOOK_MS = 100;

/** The orders that the owner's console leaves for the agent: it obeys each once. */
export class Inbox {
  readonly #startedAt: number;
  /** By id, when it was seen. */
  readonly #seen = new Map<string, number>();
  readonly #nonces = new Map<string, number>();
  readonly #results = new Map<string, OrderResult>();
  #answered = new OneShotEvent();
  #fault: string | undefined;
  #growth: Growth | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = PAUSE_MS;
  #restsUntil = 0;

  /** What is there already is from before the agent's start, and is not obeyed. */
  constructor(private readonly deps: InboxDeps) {
    this.#startedAt = deps.clock.now();
    this.#read(true);
    deps.approvals.onApproving(() => this.look());
  }

  /** Why no order counts, in words; undefined when they do. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The agent's own user leaves orders: nothing is proved. */
  get isDevelopment(): boolean {
    return (
      !this.deps.isService && statSync(this.deps.directory, { throwIfNoEntry: false })?.uid === process.geteuid?.()
    );
  }

  /** Looks for orders from now on, until `end` happens. */
  watch(end: OneShotEvent): void {
    const timer = setInterval(() => this.look(), LOOK_MS);
    timer.unref();
    this.look();
    end.subscribe(() => {
      clearInterval(timer);
      clearTimeout(this.#pause);
      this.#growth?.[Symbol.dispose]();
    });
  }

  /** What became of an order: at once where that is known, else after at most `waitMs`. */
  async result(id: string, waitMs: number): Promise<OrderResult> {
    const deadline = Deadline.after(waitMs / 1000);
    this.look();
    for (;;) {
      const result = this.#results.get(id);
      if (result !== undefined) return result;
      if (deadline.passed) return { id, state: 'unknown' };
      await deadline.waitFor(this.#answered);
    }
  }

  /** Obeys what is new. Denials come first, and all else that narrows before what widens. */
  look(): void {
    if (performance.now() < this.#restsUntil) return;
    const files = this.#read(false);
    const rank = ({ order: { kind } }: FileOf<AgentOrder>): number => RANKS.indexOf(kind);
    for (const file of files.sort((a, b) => rank(a) - rank(b))) void this.#obey(file);
  }

  /** Returns the new valid orders. At the start it returns none: files that are there already are not read. */
  #read(isStart: boolean): FileOf<AgentOrder>[] {
    const files: FileOf<AgentOrder>[] = [];
    const began = performance.now();
    let fault: string | undefined;
    try {
      using directory = OrderDirectory.open(this.#place);
      const ids = directory?.ids() ?? [];
      if (directory !== undefined) this.#follow();
      this.#forget(new Set(ids));
      for (const id of ids) {
        if (this.#seen.has(id)) continue;
        if (this.#seen.size >= MOST_SEEN) {
          fault = `${this.deps.directory}/orders has more than ${MOST_SEEN} orders`;
          break;
        }
        // A console that was taken over may leave thousands that take their time.
        if (!isStart && performance.now() - began > MOST_LOOK_MS) {
          this.#restsUntil = performance.now() + PAUSES_PER_LOOK * MOST_LOOK_MS;
          break;
        }
        this.#seen.set(id, this.deps.clock.now());
        const file = isStart ? BEFORE_START : (directory?.read(id) ?? '');
        const why = typeof file === 'string' ? file : this.#faultOf(file);
        if (typeof file === 'string' || why !== undefined) this.#refuse(id, file, why ?? '');
        else if (!isForRoot(file.order)) files.push({ ...file, order: file.order });
      }
    } catch (error) {
      fault = error instanceof ConsoleFault ? error.message : `no order can be read: ${describeErrno(error)}`;
    }
    if (fault !== undefined && fault !== this.#fault)
      this.deps.logger.warn({ fault }, 'new orders of the console are not obeyed');
    this.#fault = fault;
    return files;
  }

  get #place() {
    const stranger = this.deps.isService ? process.geteuid?.() : undefined;
    return { console: this.deps.directory, name: 'orders', stranger } as const;
  }

  #faultOf(file: OrderFile): string | undefined {
    const { order } = file;
    if (isForRoot(order)) return 'it is for root, but is among the orders for the agent';
    const isPassedOn = this.deps.passOn !== undefined && isShared(file);
    const fault =
      (isPassedOn ? undefined : addresseeFault(order)) ?? ageFault(order, this.deps.clock.now(), this.#startedAt);
    if (fault !== undefined) return fault;
    if (this.#nonces.has(order.nonce)) return 'its nonce was used before';
    this.#nonces.set(order.nonce, this.deps.clock.now());
    return undefined;
  }

  async #obey(file: FileOf<AgentOrder>): Promise<void> {
    const { order } = file;
    try {
      if (order.server !== undefined) {
        await this.#passOn(file);
        return;
      }
      const fault = await this.#carryOut(file, order);
      if (fault === undefined) this.#answer({ id: order.id, state: 'done' });
      else this.#refuse(order.id, file, fault);
    } catch (error) {
      this.#refuse(order.id, file, error instanceof Error ? error.message : String(error));
    }
  }

  async #passOn(file: OrderFile): Promise<void> {
    const { order } = file;
    const result: PassedResult = (await this.deps.passOn?.(file)) ?? { state: 'refused' };
    const { state, why } = result;
    const signature = isSigned(order) ? await this.#signatureOf({ ...file, order }) : undefined;
    const { signed, ...line } = passedLine(file, result, signature);
    if (state !== 'done') this.deps.logger.warn(line, 'an order of the console was not done on a server');
    this.deps.trail.agent('order', { ...line, ...(signed !== undefined && { signed }) });
    this.#answer({ id: order.id, state, ...(why !== undefined && { why }) });
  }

  /** The signature of an order by a passkey that counts at the hub too; undefined: the server judges it. */
  async #signatureOf(file: FileOf<SignedOrder>): Promise<Signature | undefined> {
    try {
      return await signatureHere(this.deps, file, this.#source);
    } catch {
      return undefined;
    }
  }

  /** Returns the reason when it is not done. */
  async #carryOut(file: OrderFile, order: AgentOrder): Promise<string | undefined> {
    const source = this.#source;
    switch (order.kind) {
      case 'take-over':
        return this.#takeOver(order, await signatureHere(this.deps, { ...file, order }, source));
      case 'undo':
        return this.deps.undo(order, await signatureHere(this.deps, { ...file, order }, source));
      case 'approve-plan': {
        const signature = await signatureHere(this.deps, { ...file, order }, source);
        // Somebody may have denied it meanwhile.
        this.look();
        return decideOnPlan(this.deps, { ...file, order }, signature);
      }
      case 'deny-plan':
        return decideOnPlan(this.deps, { ...file, order });
      case 'hand-back':
        return this.deps.takeOvers.handBack(order.session, describeSender(file));
      default:
        return carryOut(this.deps, { ...file, order }, source);
    }
  }

  #takeOver(order: TakeOverOrder, signature: Signature): Promise<string | undefined> {
    const { passkeysFile, takeOvers } = this.deps;
    return takeOvers.begin(order, signature, () => isStillPinned(passkeysFile, this.#own, signature));
  }

  get #source(): Source {
    return { own: this.#own, console: 'console' };
  }

  /** The user whose file of passkeys counts in addition to root's. */
  get #own(): number | undefined {
    return this.isDevelopment ? process.geteuid?.() : undefined;
  }

  #refuse(id: string, file: OrderFile | string, why: string): void {
    noteRefusal(this.deps, id, typeof file === 'string' ? undefined : file, why);
    this.#answer({ id, state: 'refused', why });
  }

  #answer(result: OrderResult): void {
    this.#results.set(result.id, result);
    const [oldest] = this.#results.keys();
    if (this.#results.size > MOST_RESULTS && oldest !== undefined) this.#results.delete(oldest);
    const answered = this.#answered;
    this.#answered = new OneShotEvent();
    answered.fire();
  }

  /** What is too old for its age alone need not be remembered, once its file is gone. */
  #forget(there: ReadonlySet<string>): void {
    const isOld = (at: number): boolean => Math.abs(this.deps.clock.now() - at) > FORGOTTEN_MS;
    for (const [id, at] of this.#seen) if (isOld(at) && !there.has(id)) this.#seen.delete(id);
    for (const [nonce, at] of this.#nonces) if (isOld(at)) this.#nonces.delete(nonce);
  }

  #follow(): void {
    if (this.#growth !== undefined) return;
    this.#growth = new Growth(`${this.deps.directory}/orders`);
    this.#growth.each(() => this.#lookSoon());
  }

  #lookSoon(): void {
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      const began = performance.now();
      this.look();
      this.#pauseMs = Math.max(PAUSE_MS, PAUSES_PER_LOOK * (performance.now() - began));
    }, this.#pauseMs);
  }
}
