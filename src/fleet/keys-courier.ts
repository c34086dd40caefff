import { describeSigner } from '../console/order-rules.ts';
import type { Signature } from '../console/passkeys.ts';
import type { Logger } from '../lib/logger.ts';
import {
  type KeyChain,
  keyChainPath,
  type Link,
  latestList,
  missingLinks,
  type NumberedList,
  readKeyChain,
} from './key-chain.ts';
import type { KnownServer } from './known-server.ts';
import type { OrderOutcome } from './orders.ts';
import { WatchedFile } from './roots-file.ts';

/** The record. */
export interface KeysTrail {
  agent(what: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface CourierDeps {
  /** Of the fleet. */
  readonly directory: string;
  readonly send: (server: KnownServer, link: Link) => Promise<OrderOutcome>;
  /** The chain has grown. */
  readonly changed: () => void;
  readonly trail: KeysTrail;
  readonly logger: Logger;
}

/** A server that says again that it lacks a link is brought it again after this. */
const PAUSE_MS = 60_000;

/** Brings to each server the changes of the console's passkeys that it lacks, in order. */
export class KeysCourier implements Disposable {
  readonly #file: WatchedFile<KeyChain | undefined>;
  readonly #busy = new Set<KnownServer>();
  /** The number of the list that is on record. */
  #noted = Number.MAX_SAFE_INTEGER;
  /** By server, until when nothing is brought to it. */
  #rests = new WeakMap<KnownServer, number>();

  constructor(private readonly deps: CourierDeps) {
    const { directory, logger } = deps;
    this.#file = new WatchedFile(
      keyChainPath(directory),
      () => this.#read(),
      () => {
        this.#rests = new WeakMap();
        this.note();
        deps.changed();
      },
      logger,
    );
  }

  /** Puts on record the list at the end of the chain, and those before it that are new since it was noted last. */
  note(): void {
    const { value: chain } = this.#file;
    if (chain === undefined) {
      this.#noted = -1;
      return;
    }
    const { count } = latestList(chain);
    const from = Math.max(chain.first.count, Math.min(count, this.#noted + 1));
    for (let number = from; number <= count; number++)
      this.deps.trail.agent('passkeys of the hub', describeList(chain, number));
    this.#noted = count;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** The list that servers are brought; undefined: no server was given any. */
  get list(): NumberedList | undefined {
    const { value: chain } = this.#file;
    return chain && latestList(chain);
  }

  /** Brings a server what it lacks, by the list that it says it has. */
  async look(server: KnownServer): Promise<void> {
    const { value: chain } = this.#file;
    if (chain === undefined || server.keys === undefined) return;
    const links = missingLinks(chain, server.keys) ?? [];
    if (links.length === 0 || this.#busy.has(server)) return;
    if (performance.now() < (this.#rests.get(server) ?? 0)) return;
    this.#busy.add(server);
    // One that takes what it is brought, and says that it has not, is not asked all the time.
    this.#rests.set(server, performance.now() + PAUSE_MS);
    try {
      await this.#bring(server, links);
    } finally {
      this.#busy.delete(server);
    }
  }

  /** A chain that cannot be used keeps the hub from nothing else. */
  #read(): KeyChain | undefined {
    try {
      return readKeyChain(this.deps.directory);
    } catch (error) {
      this.deps.logger.warn({ err: error }, 'changes of the passkeys cannot be sent to servers');
      return undefined;
    }
  }

  async #bring(server: KnownServer, links: readonly Link[]): Promise<void> {
    const { logger, send } = this.deps;
    const { name } = server.record;
    for (const link of links) {
      const { state, why } = await send(server, link);
      const { count } = link.order;
      if (state === 'done') {
        logger.info({ server: name, count }, 'a server has accepted a change of the passkeys');
        continue;
      }
      logger.warn({ server: name, count, state, why }, 'a server has not accepted a change of the passkeys');
      return;
    }
  }
}

/** A list of the chain for the record, as a server writes it: one without a signature was set by root. */
function describeList({ first, links }: KeyChain, number: number): Readonly<Record<string, unknown>> {
  const at = number - first.count - 1;
  const { order, assertion } = links[at] ?? {};
  const { count, passkeys } = order ?? first;
  const fields = { count, passkeys: passkeys.map(({ fingerprint }) => fingerprint) };
  const { origin, rp_id, passkeys: known } = links[at - 1]?.order ?? first;
  const signer = known.find(({ id }) => id === assertion?.id);
  if (order === undefined || assertion === undefined || signer === undefined) return { ...fields, by: 'root' };
  const { made_at: _, ...passkey } = signer;
  const { clientDataJSON, authenticatorData, signature } = assertion.response;
  const signed: Signature = {
    ...{ order, passkey, origin, rp_id },
    assertion: {
      ...{ id: passkey.id, rawId: passkey.id, type: 'public-key', clientExtensionResults: {} },
      response: { clientDataJSON, authenticatorData, signature },
    },
  };
  return { ...fields, by: describeSigner(signed), signed };
}
