import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { hubCertificate } from './certificate.ts';
import { HubLink, type LinkDeps } from './hub-link.ts';
import { readInventory, type ServerRecord } from './inventory.ts';
import { KnownServer } from './known-server.ts';
import { answerSubject } from './nats-config.ts';
import { NO_SERVER, type OrderOutcome, sendOrder } from './orders.ts';

export interface LineDeps extends Pick<LinkDeps, 'key' | 'logger'> {
  /** Of the inventory. */
  readonly directory: string;
}

/** With what a server takes to say that it has begun, an answer is there within five seconds. */
const CONNECT_SECONDS = 2.5;

/** Root's own way to the servers, for what has to reach them while the hub's agent is dead. It is connected while orders are under way. */
export class OrderLine {
  #open: OpenLine | undefined;
  #underWay = 0;

  constructor(private readonly deps: LineDeps) {}

  /** Passes an order of the console on to the server with this key, and gives what became of it. Throws `FleetFileFault`. */
  async send(key: string, file: unknown): Promise<OrderOutcome> {
    this.#underWay++;
    try {
      const { hub, servers } = readInventory(this.deps.directory);
      const record = servers.find((one) => one.key === key);
      if (record === undefined) return NO_SERVER;
      this.#open ??= new OpenLine(this.deps, hub.local_url ?? hub.url);
      return await this.#open.send(record, file);
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
  readonly #connected = new OneShotEvent();
  readonly #servers = new Map<string, KnownServer>();

  constructor({ directory, key, logger }: LineDeps, url: string) {
    this.#link = new HubLink({ url, certificate: hubCertificate(directory), key, logger });
    void this.#link.start(() => this.#connected.fire());
  }

  async send(record: ServerRecord, file: unknown): Promise<OrderOutcome> {
    if (!(await Deadline.after(CONNECT_SECONDS).waitFor(this.#connected)))
      return { state: 'refused', why: 'nothing was done: NATS cannot be reached: systemctl status agent3-nats' };
    return sendOrder(this.#link, this.#listen(record), file);
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
  }

  #listen(record: ServerRecord): KnownServer {
    const known = this.#servers.get(record.key);
    if (known !== undefined) return known;
    const server = new KnownServer(record);
    this.#servers.set(record.key, server);
    this.#link.listen(answerSubject(record.key), (message) => this.#link.take(server, message.data));
    return server;
  }
}
