import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { hubCertificate } from './certificate.ts';
import { HubLink, type LinkDeps } from './hub-link.ts';
import { type Inventory, readInventory } from './inventory.ts';
import { KnownServer } from './known-server.ts';
import { answerSubject } from './nats-config.ts';
import { NO_SERVER, type OrderOutcome, sendOrder } from './orders.ts';

export interface LineDeps extends Pick<LinkDeps, 'key' | 'logger'> {
  /** Of the inventory. */
  readonly directory: string;
}

/** With what a server takes to say that it has begun, an answer is there within five seconds. */
const CONNECT_SECONDS = 2.5;

/** Root's own connection to NATS. `connected` resolves to whether there is one in time. */
export function openRootsLink({ hub }: Inventory, { directory, key, logger }: LineDeps) {
  const connected = new OneShotEvent();
  const url = hub.local_url ?? hub.url;
  const link = new HubLink({ url, certificate: hubCertificate(directory), key, logger });
  link
    .start(() => connected.fire())
    .catch((error: unknown) => logger.warn({ err: error }, 'servers cannot be reached'));
  return { link, connected: () => Deadline.after(CONNECT_SECONDS).waitFor(connected) };
}

/** Root's own way to the servers, for what has to reach them while the hub's agent is dead. It is connected while orders are under way. */
export class OrderLine {
  #open: OpenLine | undefined;
  #underWay = 0;

  constructor(private readonly deps: LineDeps) {}

  /** Passes an order of the console on to the server with this key. Returns its result. Throws `FleetFileFault`. */
  async send(key: string, file: unknown): Promise<OrderOutcome> {
    this.#underWay++;
    try {
      this.#open ??= new OpenLine(this.deps);
      return await this.#open.send(key, file);
    } finally {
      if (--this.#underWay === 0) {
        this.#open?.[Symbol.dispose]();
        this.#open = undefined;
      }
    }
  }
}

class OpenLine implements Disposable {
  readonly #link: HubLink;
  readonly #connected: () => Promise<boolean>;
  /** By key. */
  readonly #servers: ReadonlyMap<string, KnownServer>;
  readonly #listened = new Set<KnownServer>();

  /** Throws `FleetFileFault`. */
  constructor(deps: LineDeps) {
    const inventory = readInventory(deps.directory);
    this.#servers = new Map(inventory.servers.map((record) => [record.key, new KnownServer(record)]));
    ({ link: this.#link, connected: this.#connected } = openRootsLink(inventory, deps));
  }

  async send(key: string, file: unknown): Promise<OrderOutcome> {
    const server = this.#servers.get(key);
    if (server === undefined) return NO_SERVER;
    if (!(await this.#connected()))
      return {
        state: 'refused',
        why: 'nothing was done: NATS cannot be reached. To see why: systemctl status agent3-nats',
      };
    this.#listen(server);
    return sendOrder(this.#link, server, file);
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
  }

  #listen(server: KnownServer): void {
    if (this.#listened.has(server)) return;
    this.#listened.add(server);
    this.#link.listen(answerSubject(server.key), (message) => this.#link.take(server, message.data));
  }
}
