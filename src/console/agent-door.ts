import { Type } from '@sinclair/typebox';
import type { Trail } from '../audit/trail.ts';
import { Buckets } from '../http/limiters.ts';
import { systemClock } from '../lib/clock.ts';
import { visibleLine } from '../lib/visible.ts';
import { readAsked as read } from './asked.ts';
import { WireRefusal } from './channel.ts';
import type { Inbox } from './inbox.ts';
import { describeSender } from './order-rules.ts';
import type { Past } from './past.ts';
import { type PlansOfHub, planPart } from './plan-orders.ts';
import type { Pushes } from './push/pushes.ts';
import { type ReadingDeps, ReadingDoor } from './reading-door.ts';
import type { ServersView } from './servers-view.ts';
import type { Clients, Server } from './shown.ts';
import { signedFrameSchema, type TakeOvers } from './take-over.ts';
import type { Answer } from './wire-server.ts';

export interface DoorDeps extends ReadingDeps {
  readonly inbox: Inbox;
  readonly takeOvers: TakeOvers;
  readonly past: Past;
  readonly clients: () => Promise<Clients>;
  readonly trail: Pick<Trail, 'console'>;
  readonly server: () => Server;
  /** Undefined: the agent has no key for it. */
  readonly pushes: Pushes | undefined;
  /** Undefined: this agent is not a hub of a fleet. */
  readonly plans: PlansOfHub | undefined;
  /** Undefined: this agent is not a hub of a fleet. */
  readonly servers: ServersView | undefined;
}

/** The longest that an answer waits. */
const MAX_WAIT_MS = 25_000;
/** Lines of the record about sign-ins, in a minute. */
const SIGN_INS_PER_MINUTE = 60;

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });

/** What the console asks, by the operations. */
const ASKED = {
  order: Type.Object({ id: UUID, wait_ms: Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS }) }),
  'test-push': Type.Object({ id: UUID }),
  'sign-in': Type.Object({
    what: Type.Union([Type.Literal('signed in'), Type.Literal('signed out'), Type.Literal('a wrong passkey')]),
    by: Type.Optional(Type.String({ maxLength: 100 })),
    address: Type.String({ maxLength: 64 }),
  }),
};

/** What the agent shows to the console. */
export class AgentDoor {
  readonly #reading: ReadingDoor;
  readonly #signIns = new Buckets(SIGN_INS_PER_MINUTE, systemClock);

  constructor(private readonly deps: DoorDeps) {
    this.#reading = new ReadingDoor(deps);
  }

  readonly answer: Answer = async ({ op, args, signal }) => {
    const { inbox, clients } = this.deps;
    switch (op) {
      case 'type': {
        const typed = await this.deps.takeOvers.type(read(signedFrameSchema, args));
        return () => typed;
      }
      case 'clients': {
        const found = await clients();
        return () => found;
      }
      case 'server':
        return this.deps.server;
      case 'order': {
        const { id, wait_ms } = read(ASKED.order, args);
        const result = await inbox.result(id, wait_ms);
        return () => result;
      }
      case 'sign-in': {
        const { what, by, address } = read(ASKED['sign-in'], args);
        // Without a limit, a console that was taken over could fill the record.
        if (this.#signIns.consume('', 1) > 0) throw new WireRefusal('TooManyRequests', 'Too many sign-ins.');
        const who = by === undefined ? undefined : describeSender({ by });
        this.deps.trail.console(what, { by: who, address: visibleLine(address) });
        return () => ({});
      }
      case 'push': {
        const { pushes } = this.deps;
        const state = { public_key: (await pushes?.publicKey()) ?? null, gone: pushes?.gone() ?? [] };
        return () => state;
      }
      case 'test-push': {
        const outcome = await this.deps.pushes?.test(read(ASKED['test-push'], args).id);
        if (outcome === undefined) throw new WireRefusal('BadRequest', 'Notifications are off on this device.');
        return () => outcome;
      }
      case 'plan': {
        const part = planPart(this.deps.plans, args);
        return () => part;
      }
      default: {
        const { past, servers } = this.deps;
        const answer =
          (await this.#reading.answer(op, args, signal)) ??
          (await past.answer(op, args)) ??
          (await servers?.answer(op, args, signal));
        if (answer !== undefined) return answer;
        throw new WireRefusal('BadRequest', 'There is no such operation.');
      }
    }
  };
}
