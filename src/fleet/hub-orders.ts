import { Value } from '@sinclair/typebox/value';
import { type CarryOutDeps, carryOut, isShared, noteRefusal } from '../console/carry-out.ts';
import type { Order, OrderFile, OrderResult } from '../console/order.ts';
import { describeSender } from '../console/order-rules.ts';
import { orderFileSchema } from '../console/order-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { hubPasskeysPath, NOBODY_PINNED } from './hub-passkeys.ts';
import { addresseeFault, type Membership } from './membership.ts';

export interface HubOrdersDeps extends Omit<CarryOutDeps, 'passkeysFile'> {
  /** `AGENT3_HUB_FILE`. */
  readonly hubFile: string;
  /** Whether the agent is a service. If so, only a file of root counts for the pinned passkeys. */
  readonly isService: boolean;
  /** Passes the order with this id, and its message, to root. */
  readonly toRoot: (id: string, message: Uint8Array) => Promise<OrderResult>;
}

/** Kinds of orders that root of this server obeys. */
const ROOTS: readonly string[] = ['freeze', 'thaw', 'keys'];

/** The orders of the hub's console that this server obeys. The hub has signed each request; what widens needs a passkey. */
export class HubOrders {
  readonly #deps: CarryOutDeps;

  constructor(private readonly deps: HubOrdersDeps) {
    this.#deps = { ...deps, passkeysFile: hubPasskeysPath(deps.hubFile) };
  }

  /** Obeys what a request with the operation `order` has. Throws `InvalidArguments` for an invalid order. */
  async obey(args: unknown, membership: Membership, message: Uint8Array): Promise<OrderResult> {
    if (!Value.Check(orderFileSchema, args))
      throw new InvalidArguments('Nothing was done: this is not an order of a console, or it is from a newer version.');
    const file = args as OrderFile;
    const result = await this.#result(file, membership, message);
    this.#note(file, result, consoleOf(membership));
    return result;
  }

  /** Puts an order on record with its id, which the hub has on record too. Its effect has a line of its own. */
  #note(file: OrderFile, { id, state, why = '' }: OrderResult, console: string): void {
    const { kind } = file.order;
    const line = { kind, by: describeSender(file, console), order: id, ...(state === 'unknown' && { unknown: why }) };
    if (state === 'refused') noteRefusal(this.#deps, id, file, why, console);
    // The line of a stop has its id.
    else if (kind !== 'stop' && kind !== 'stop-all') this.deps.trail.agent('order', line);
  }

  async #result(file: OrderFile, membership: Membership, message: Uint8Array): Promise<OrderResult> {
    const { id, kind } = file.order;
    const fault = faultFor(file.order, membership);
    if (fault === undefined && ROOTS.includes(kind)) return this.deps.toRoot(id, message);
    const why = fault ?? (await this.#obey(file, membership));
    return why === undefined ? { id, state: 'done' } : { id, state: 'refused', why };
  }

  /** Obeys an order that the agent may obey. Returns why it is refused. */
  async #obey(file: OrderFile, membership: Membership): Promise<string | undefined> {
    if (!isShared(file)) return "a server obeys this only from its own console, not from its hub's";
    const own = this.deps.isService ? undefined : process.geteuid?.();
    try {
      return await carryOut(this.#deps, file, {
        own,
        console: consoleOf(membership),
        link: NOBODY_PINNED,
      });
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** Orders for all servers: `keys` has the key of the hub, a plan the keys of its servers. */
const FOR_ALL: readonly string[] = ['keys', 'approve-plan', 'deny-plan'] satisfies readonly Order['kind'][];

/** Returns why an order of the hub is not for this server. Undefined where it is. */
function faultFor(order: Order, membership: Membership): string | undefined {
  if (order.server !== undefined) return addresseeFault(order, membership);
  if (FOR_ALL.includes(order.kind)) return undefined;
  return 'it names no server, as an order through a hub must';
}

const consoleOf = ({ hub }: Membership): string => `console of ${hub}`;
