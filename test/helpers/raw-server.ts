import {
  type FleetReply,
  type FleetRequest,
  open,
  REPLY,
  REQUEST,
  type ServerState,
  STATE,
  seal,
} from '../../src/fleet/envelope.ts';
import { Verifier } from '../../src/fleet/keys.ts';
import { connectOnce, type NatsConnection } from '../../src/fleet/nats.ts';
import { answerSubject, rpcSubject, stateSubject } from '../../src/fleet/nats-config.ts';
import type { TestNats } from './nats.ts';

const NOTHING = { status: 0, headers: {}, body: null };

/** Speaks as a server, whose key it has, and notes what it is asked. To be disposed of. */
export class RawServer implements AsyncDisposable {
  readonly instance = crypto.randomUUID();
  readonly asked: FleetRequest[] = [];
  /** What it says of itself. */
  shown: Partial<ServerState> = {};
  #count = 0;

  private constructor(
    private readonly nats: TestNats,
    private readonly name: string,
    private readonly connection: NatsConnection,
    private readonly answer: (request: FleetRequest) => unknown,
  ) {}

  /** `answer` returns the body of an answer; undefined: it says nothing. */
  static async open(nats: TestNats, name: string, answer: (request: FleetRequest) => unknown): Promise<RawServer> {
    const connection = await connectOnce(nats.address(nats.keyOf(name)));
    const server = new RawServer(nats, name, connection, answer);
    connection.subscribe(rpcSubject(nats.keyOf(name).publicKey), {
      callback: (_, message) => server.#heard(open(REQUEST, message.data, new Verifier(nats.hub.publicKey))),
    });
    await connection.flush();
    return server;
  }

  /** Says its state. */
  say(): void {
    const key = this.nats.keyOf(this.name);
    const state = {
      ...{ server: key.publicKey, instance: this.instance, clock: performance.now(), count: ++this.#count },
      ...{ version: '', os: '', load: [], frozen: false, profile: 'full', operations: [], leaving: false },
      ...this.shown,
    };
    this.connection.publish(stateSubject(key.publicKey), seal(STATE, state, key));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }

  #heard(request: FleetRequest): void {
    const { id, instance, op } = request;
    if (instance !== this.instance) {
      if (op === 'state') this.say();
      this.#reply({ ...NOTHING, id, kind: 'stale' });
      return;
    }
    this.asked.push(request);
    const body = this.answer(request);
    if (body !== undefined) this.#reply({ id, kind: 'answer', status: 200, headers: {}, body });
  }

  #reply(reply: Omit<FleetReply, 'server' | 'instance' | 'clock'>): void {
    const key = this.nats.keyOf(this.name);
    const whole = { server: key.publicKey, instance: this.instance, clock: performance.now(), ...reply };
    this.connection.publish(answerSubject(key.publicKey), seal(REPLY, whole, key));
  }
}
