import { type Static, Type } from '@sinclair/typebox';
import type { Freeze } from '../access/freeze.ts';
import type { Trail } from '../audit/trail.ts';
import type { Commands } from '../commands/commands.ts';
import type { Clock } from '../lib/clock.ts';
import { Terminal } from '../process/terminal.ts';
import { asSessionId, type SessionId } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import { WireRefusal } from './channel.ts';
import { AHEAD_MS, fromBase64url, type TakeOverOrder } from './order.ts';
import { describeSigner } from './order-rules.ts';
import type { Signature } from './passkeys.ts';
import { importTypingKey, isSignedBy, MAX_KEYS_BYTES } from './typed.ts';
import { TypedLines } from './typed-lines.ts';

interface TakeOverDeps {
  readonly store: Pick<SessionStore, 'find'>;
  readonly commands: Pick<Commands, 'inputOf' | 'endOf' | 'dialogs'>;
  readonly freeze: Pick<Freeze, 'isFrozen' | 'subscribe'>;
  readonly trail: Pick<Trail, 'agent'>;
  readonly clock: Clock;
}

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });

/** A frame as it comes: its order is known by the signature. */
export const signedFrameSchema = Type.Object(
  {
    order: UUID,
    n: Type.Integer({ minimum: 1 }),
    at: Type.Integer({ minimum: 0 }),
    keys: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$', maxLength: 4 * Math.ceil(MAX_KEYS_BYTES / 3) }),
    ),
    size: Type.Optional(
      Type.Object(
        { rows: Type.Integer({ minimum: 1, maximum: 500 }), cols: Type.Integer({ minimum: 1, maximum: 500 }) },
        { additionalProperties: false },
      ),
    ),
    signature: Type.String({ pattern: '^[\\w-]{86}$' }),
  },
  { additionalProperties: false },
);

/** Whether what was typed has gone into the terminal: a program that does not read has no room for more. */
interface TypedAnswer {
  readonly taken: boolean;
}

/** One person in one terminal. */
interface TakeOver {
  readonly order: string;
  readonly by: string;
  readonly session: Session;
  readonly terminal: Terminal;
  readonly size: Terminal['size'];
  readonly key: CryptoKey;
  readonly isPinned: () => boolean;
  readonly lines: TypedLines;
  /** The last frame that was taken, with its answer: a page whose connection broke sends it again. */
  last: { readonly n: number; readonly signature: string; readonly answer: TypedAnswer };
  /** Typed so far. */
  bytes: number;
  idle: ReturnType<typeof setTimeout> | undefined;
  unsubscribe: () => void;
}

/** Time without a frame after which the terminal is handed back. */
const IDLE_MS = 300_000;
/** How long a frame is valid: keystrokes cannot be held back and sent later. */
const LATE_MS = 20_000;
const TYPED_NOTE = 'Your owner has typed into this terminal and handed it back. Look at what it shows before you type.';

/** The terminals that people type in from the console, in the place of the model. */
export class TakeOvers {
  readonly #held = new Map<SessionId, TakeOver>();
  readonly #listeners = new Set<() => void>();

  constructor(
    private readonly deps: TakeOverDeps,
    private readonly idleMs = IDLE_MS,
  ) {
    deps.freeze.subscribe(() => {
      if (deps.freeze.isFrozen) for (const one of this.#held.values()) this.#end(one, 'the server was frozen');
    });
  }

  /** Calls `listener` whenever somebody begins to type, or ends. */
  subscribe(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Takes a terminal over, by an order whose signature was checked; `isPinned` says whether its passkey still counts.
   * Resolves when nothing of the model's is typed any more, with why it was not done.
   */
  async begin(order: TakeOverOrder, signature: Signature, isPinned: () => boolean): Promise<string | undefined> {
    const { commands, freeze, trail, clock } = this.deps;
    const key = await importTypingKey(fromBase64url(order.key)).catch(() => undefined);
    if (key === undefined) return 'its key is damaged';
    if (freeze.isFrozen) return 'the server is frozen';
    const session = this.#sessionOf(order.session);
    const terminal = session && commands.inputOf(session);
    const end = session && commands.endOf(session);
    if (!(terminal instanceof Terminal) || !terminal.isOpen || session === undefined || end === undefined)
      return 'this session has no open terminal';
    const by = describeSigner(signature);
    const before = this.#held.get(session.id);
    if (before !== undefined && before.order !== order.from) return `${before.by} types in this terminal`;
    if (before !== undefined) this.#end(before, `it was taken over by ${by}`);
    const { id } = session;
    trail.agent('taken over', { session: id, order: order.id, by, signed: signature });
    const lines = new TypedLines((line) => trail.agent('typed', { session: id, order: order.id, by, ...line }));
    const answer = { taken: true };
    const held: TakeOver = {
      ...{ order: order.id, by, session, terminal, size: terminal.size, key, isPinned, lines },
      ...{ last: { n: 0, signature: '', answer }, bytes: 0, idle: undefined, unsubscribe: () => {} },
    };
    session.typist = { order: order.id, by, since: clock.now() };
    this.#held.set(id, held);
    this.#expectMore(held);
    held.unsubscribe = end.subscribe(() => this.#end(held, 'its command has ended'));
    await commands.dialogs.of(session)?.stop('your owner has taken over its terminal');
    this.#tell();
    return this.#held.get(id) === held ? undefined : 'it was over at once';
  }

  /** Hands a terminal back to the model. Returns the reason when it is not done. */
  handBack(session: string, by: string): string | undefined {
    const id = asSessionId(session);
    const held = id && this.#held.get(id);
    if (held === undefined) return 'nobody types in this terminal';
    this.#end(held, `handed back by ${by}`);
    return undefined;
  }

  /** Types what the page of a take-over has signed. Rejects with `WireRefusal` for all that is not the next of it. */
  async type({ signature, ...frame }: Static<typeof signedFrameSchema>): Promise<TypedAnswer> {
    const held = [...this.#held.values()].find(({ order }) => order === frame.order);
    if (held === undefined) throw refusal('This take-over is over.');
    if (!(await isSignedBy(frame, fromBase64url(signature), held.key))) throw refusal('Its signature does not fit.');
    if (this.#held.get(held.session.id) !== held) throw refusal('This take-over is over.');
    const { last } = held;
    if (frame.n === last.n && signature === last.signature) return last.answer;
    const ageMs = this.deps.clock.now() - frame.at;
    if (ageMs > LATE_MS || ageMs < -AHEAD_MS) throw refusal('It came too late.');
    if (frame.n !== last.n + 1) throw refusal('Its number is not the next.');
    const fault = this.#faultOf(held);
    if (fault !== undefined) {
      this.#end(held, fault);
      throw refusal(`This take-over is over: ${fault}.`);
    }
    const answer = { taken: this.#put(held, frame) };
    held.last = { n: frame.n, signature, answer };
    this.#expectMore(held);
    return answer;
  }

  #put(held: TakeOver, { keys, size }: Pick<Static<typeof signedFrameSchema>, 'keys' | 'size'>): boolean {
    const { terminal, lines } = held;
    if (size !== undefined) {
      terminal.resize(size);
      this.#tell();
    }
    if (keys === undefined) return true;
    const bytes = Buffer.from(keys, 'base64');
    const isTaken = terminal.type(bytes, (isShown) => lines.add(bytes, isShown));
    if (isTaken) held.bytes += bytes.length;
    return isTaken;
  }

  #faultOf({ terminal, isPinned }: TakeOver): string | undefined {
    if (this.deps.freeze.isFrozen) return 'the server is frozen';
    if (!terminal.isOpen) return 'its terminal is closed';
    return isPinned() ? undefined : 'its passkey was removed';
  }

  #sessionOf(id: string): Session | undefined {
    const known = asSessionId(id);
    const session = known && this.deps.store.find(known);
    return session?.record.status === 'running' ? session : undefined;
  }

  #expectMore(held: TakeOver): void {
    clearTimeout(held.idle);
    held.idle = setTimeout(() => this.#end(held, 'nothing was typed for some minutes'), this.idleMs);
    held.idle.unref();
  }

  #end(held: TakeOver, why: string): void {
    const { session, order, by, lines, bytes, terminal, size } = held;
    if (this.#held.get(session.id) !== held) return;
    this.#held.delete(session.id);
    clearTimeout(held.idle);
    held.unsubscribe();
    session.typist = undefined;
    if (terminal.size !== size) terminal.resize(size);
    lines.close();
    this.deps.trail.agent('handed back', { session: session.id, order, by, why, bytes });
    if (bytes > 0 && session.record.status === 'running') session.update({ owner_note: TYPED_NOTE });
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function refusal(why: string): WireRefusal {
  return new WireRefusal('BadRequest', why);
}
