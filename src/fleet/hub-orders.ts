import { Value } from '@sinclair/typebox/value';
import { type CarryOutDeps, carryOut, isShared, noteRefusal } from '../console/carry-out.ts';
import type { Order, OrderFile, OrderResult } from '../console/order.ts';
import { orderFileSchema } from '../console/order-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { hubPasskeysPath, type Membership } from './membership.ts';

export interface HubOrdersDeps extends Omit<CarryOutDeps, 'passkeysFile'> {
  /** `AGENT3_HUB_FILE`. */
  readonly hubFile: string;
  /** The agent is a service: of the pinned passkeys, root's file alone counts. */
  readonly isService: boolean;
}

/** Where no passkey of the hub is pinned. */
const NOBODY =
  'no passkey of the hub is pinned on this server. On the hub: sudo agent3 fleet passkeys, here: sudo agent3 join --passkeys';

/** The orders of the hub's console that this server obeys. The hub has signed each request; what widens needs a passkey. */
export class HubOrders {
  readonly #deps: CarryOutDeps;

  constructor(private readonly deps: HubOrdersDeps) {
    this.#deps = { ...deps, passkeysFile: hubPasskeysPath(deps.hubFile) };
  }

  /** Obeys what a request with the operation `order` has. Throws `InvalidArguments` for what is no order. */
  async obey(args: unknown, membership: Membership): Promise<OrderResult> {
    if (!Value.Check(orderFileSchema, args))
      throw new InvalidArguments('Nothing was done: this is no order of a console, or one of a newer version.');
    const file = args as OrderFile;
    const { id } = file.order;
    const why = await this.#faultOf(file, membership);
    if (why === undefined) return { id, state: 'done' };
    noteRefusal(this.#deps, id, file, why, consoleOf(membership));
    return { id, state: 'refused', why };
  }

  /** Obeys an order; gives why it is not done. */
  async #faultOf(file: OrderFile, membership: Membership): Promise<string | undefined> {
    const { order } = file;
    const fault = addresseeFault(order, membership);
    if (fault !== undefined) return fault;
    if (!isShared(file)) return "a server obeys this at its own console alone, not at its hub's";
    const own = this.deps.isService ? undefined : process.geteuid?.();
    try {
      return await carryOut(this.#deps, file, {
        own,
        console: consoleOf(membership),
        takeDenials: () => {},
        link: NOBODY,
      });
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** Why an order of the hub is not for this server; undefined when it is. */
function addresseeFault({ server }: Order, { key }: Membership): string | undefined {
  if (server === undefined) return 'it names no server: over the fleet, an order counts on the server in it alone';
  return server === key ? undefined : 'it is for another server';
}

const consoleOf = ({ hub }: Membership): string => `console of ${hub}`;
