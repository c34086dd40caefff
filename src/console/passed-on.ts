import type { OrderFile, OrderResult } from './order.ts';
import { addresseeFault, ageFault } from './order-rules.ts';

/** What became of an order that was passed on, with the server as records name it. */
export type PassedResult = Omit<OrderResult, 'id'> & { readonly server?: string };
/** Passes an order on to the server that it names. */
export type PassOn = (file: OrderFile) => Promise<PassedResult>;

/** What root passes on: all else for servers goes through the hub's agent. */
const KINDS: readonly string[] = ['freeze', 'thaw'];

interface PassedOnDeps {
  /** Undefined: this is not a hub. */
  readonly passOn?: PassOn | undefined;
  readonly startedAt: number | undefined;
  /** Answers an order. */
  readonly answer: (file: OrderFile, result: PassedResult) => void;
}

/** Orders for servers of the fleet, each on its way while the next ones are obeyed. */
export class PassedOn {
  /** By id, whether it is answered. */
  readonly #ids = new Map<string, boolean>();

  constructor(private readonly deps: PassedOnDeps) {}

  /** Whether an order is on its way. */
  has(id: string): boolean {
    return this.#ids.get(id) === false;
  }

  /** Whether an order has been answered: its file may go. */
  isOver(id: string): boolean {
    return this.#ids.get(id) === true;
  }

  /** What is gone need not be remembered. */
  forget(ids: readonly string[]): void {
    for (const id of ids) this.#ids.delete(id);
  }

  /** Sends orders, all at once. Of what comes for one server at the same time, a freeze wins. */
  send(files: readonly OrderFile[]): void {
    const frozen = new Set(files.filter(({ order }) => order.kind === 'freeze').map(({ order }) => order.server));
    for (const file of files) {
      const { order } = file;
      this.#ids.set(order.id, false);
      const isFrozenNow = order.kind === 'thaw' && frozen.has(order.server);
      void this.#result(file, isFrozenNow).then((result) => {
        this.#ids.set(order.id, true);
        this.deps.answer(file, result);
      });
    }
  }

  async #result(file: OrderFile, isFrozenNow: boolean): Promise<PassedResult> {
    const { passOn, startedAt } = this.deps;
    const { order } = file;
    const refused = (why: string): PassedResult => ({ state: 'refused', why });
    if (passOn === undefined || !KINDS.includes(order.kind)) return refused(addresseeFault(order) ?? '');
    const fault = ageFault(order, Date.now(), startedAt);
    if (fault !== undefined) return refused(fault);
    if (isFrozenNow) return refused('somebody has frozen the server at the same time');
    try {
      return await passOn(file);
    } catch (error) {
      return refused(error instanceof Error ? error.message : String(error));
    }
  }
}
