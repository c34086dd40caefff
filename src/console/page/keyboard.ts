import { MAX_KEYS_BYTES, newTypingKeys, type SignedFrame, signFrame, type TypedFrame } from '../typed.ts';
import { ApiError, describeFailure, post } from './api.ts';
import { order } from './sign.ts';
import type { ShownSize } from './terminal.ts';
import { words } from './words.ts';

/** How long a broken connection is tried again, with the same keystrokes: the agent types them once. */
const TIMEOUT_MS = 12_000;
const RETRY_MS = 700;

/** What a keyboard says: keystrokes were left out, or it has ended and why. */
export interface KeyboardEvents {
  readonly onFault: (why: string, hasEnded: boolean) => void;
}

/** Types into a terminal that was taken over: one frame at a time, each signed by a key that only this object has. */
export class Keyboard {
  #keys: number[] = [];
  #size: TypedFrame['size'];
  #n = 0;
  #isSending = false;
  #hasEnded = false;

  private constructor(
    readonly order: string,
    private readonly session: string,
    private readonly key: CryptoKey,
    private readonly now: () => number,
    private readonly events: KeyboardEvents,
  ) {}

  /**
   * Takes a terminal over with a passkey; `from` is the order of who types in it already. `now` is the time
   * of the server. Returns the reason when it is not done.
   */
  static async open(
    { session, from }: { readonly session: string; readonly from: string | null },
    now: () => number,
    events: KeyboardEvents,
  ): Promise<Keyboard | string> {
    const { privateKey, key } = await newTypingKeys();
    const id = crypto.randomUUID();
    const fault = await order({ kind: 'take-over', session, key, from }, now(), id);
    return fault ?? new Keyboard(id, session, privateKey, now, events);
  }

  /** Types a text, or bytes of which each is a character. */
  type(text: string): void {
    for (const byte of new TextEncoder().encode(text)) this.#keys.push(byte);
    void this.#send();
  }

  /** Changes the size of the terminal. */
  resize({ rows, cols }: ShownSize): void {
    if (rows === null || cols === null) return;
    this.#size = { rows, cols };
    void this.#send();
  }

  /** Hands the terminal back; also where the page is about to go. */
  async end(): Promise<string | undefined> {
    this.#hasEnded = true;
    return order({ kind: 'hand-back', session: this.session }, this.now());
  }

  /** Somebody else has ended it. */
  close(): void {
    this.#hasEnded = true;
  }

  async #send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      while (!this.#hasEnded && (this.#keys.length > 0 || this.#size !== undefined)) {
        if (!(await this.#post(await this.#next())).taken) this.events.onFault(words.takeOver.full, false);
      }
    } catch (error) {
      // What became of the keystrokes is not known: nothing is typed behind them.
      if (this.#hasEnded) return;
      void this.end();
      this.events.onFault(describeFailure(error), true);
    } finally {
      this.#isSending = false;
    }
  }

  #next(): Promise<SignedFrame> {
    const part = this.#keys.splice(0, MAX_KEYS_BYTES);
    const keys = part.length === 0 ? {} : { keys: btoa(String.fromCharCode(...part)) };
    const size = this.#size === undefined ? {} : { size: this.#size };
    this.#size = undefined;
    return signFrame({ order: this.order, n: ++this.#n, at: Math.round(this.now()), ...keys, ...size }, this.key);
  }

  async #post(frame: SignedFrame): Promise<{ readonly taken: boolean }> {
    for (const giveUp = performance.now() + TIMEOUT_MS; ; await new Promise((go) => setTimeout(go, RETRY_MS))) {
      try {
        return await post('type', frame, AbortSignal.timeout(TIMEOUT_MS));
      } catch (error) {
        const isOut = error instanceof ApiError && ['Lost', 'AgentAway', 'TooManyRequests'].includes(error.code);
        if (!isOut || this.#hasEnded || performance.now() > giveUp) throw error;
      }
    }
  }
}

/** Returns the control character of a letter; other text stays as it is. */
export function withControl(text: string): string {
  const code = text.toUpperCase().charCodeAt(0);
  return text.length === 1 && code >= 0x40 && code < 0x60 ? String.fromCharCode(code & 31) : text;
}
