import type { OrderFile, OrderResult } from './order.ts';
import { addresseeFault, ageFault, describeSender, describeSigner } from './order-rules.ts';
import type { Signature } from './passkeys.ts';

/** What became of an order that was passed on, with the server as records name it. */
export type PassedResult = Omit<OrderResult, 'id'> & { readonly server?: string };
/** Passes an order on to the server that it names. */
export type PassOn = (file: OrderFile) => Promise<PassedResult>;

/** What the record of a hub has of an order that was passed on. The server has the same `order` on its record. */
export interface PassedLine {
  /** Its name and 8 letters of its key; the whole key of one that is gone. */
  readonly server: string;
  readonly kind: string;
  readonly by: string;
  /** Id of the order. */
  readonly order: string;
  readonly passed_on: OrderResult['state'];
  readonly why?: string;
  readonly signed?: Signature;
}

/** Describes, for the record, an order and what became of it; `signature` is that of a passkey that counts here. */
export function passedLine(
  file: OrderFile,
  { state, why, server = file.order.server ?? '' }: PassedResult,
  signature: Signature | undefined,
): PassedLine {
  const { kind, id: order } = file.order;
  const by = signature === undefined ? describeSender(file) : describeSigner(signature);
  const more = { ...(why !== undefined && { why }), ...(signature !== undefined && { signed: signature }) };
  return { server, kind, by, order, passed_on: state, ...more };
}

/** What root passes on: all else for servers goes through the hub's agent. */
const KINDS: readonly string[] = ['freeze', 'thaw'];

interface PassedOnDeps {
  /** Undefined: this is not a hub. */
  readonly passOn?: PassOn | undefined;
  readonly startedAt: number | undefined;
  /** Answers an order. */
  readonly answer: (file: OrderFile, result: PassedResult) => void;
  /** Notes an order for the record. */
  readonly note: (file: OrderFile, result: PassedResult) => Promise<void>;
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
      void this.#result(file, isFrozenNow).then(async (result) => {
        this.deps.answer(file, result);
        await this.deps.note(file, result);
        this.#ids.set(order.id, true);
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
