import { createInterface } from 'node:readline';
import { type ClientKind, KIND_NAMES } from '../access/client-kinds.ts';
import { answerDueAt, type GrantKey, type GrantRecord } from '../access/grant.ts';
import { readTokens, TokenFileFault } from '../access/token-file.ts';
import { type CodeTry, type GrantState, grantsDirectory, readState, readTry } from '../connect/grant-state.ts';
import { delay } from '../lib/clock.ts';
import { visibleLine } from '../lib/visible.ts';
import { cannotRead, EXIT_FAILURE, fail } from './exit.ts';
import { ownerOf, sessionsHere } from './here.ts';

/** The grant ended before its client was kept. */
export class GrantOver extends Error {
  constructor(
    readonly event: 'ended' | 'expired',
    readonly why: string,
  ) {
    super(why);
  }
}

const LOOK_MS = 200;
/** The agent may be a moment late. */
const MARGIN_MS = 2000;

/** Watches the state of a grant, from the moment its code is shown until its client is kept. */
export class GrantWatch {
  #tries = 0;
  #cancels = 0;
  #isEntered = false;

  constructor(
    private readonly record: GrantRecord,
    private readonly key: GrantKey,
    private readonly tokensPath: string,
  ) {}

  /** Resolves with the state of the grant when its client has its tokens. Throws `GrantOver`. */
  async arrival(): Promise<GrantState> {
    for (;;) {
      const state = this.#look();
      if (state !== undefined && state.generation > 0) return state;
      if (Date.now() > (state?.code_until ?? this.record.grant.code_expires_at) + MARGIN_MS)
        throw new GrantOver(
          'expired',
          state === undefined ? 'the code was not entered' : 'the client did not fetch its token',
        );
      await delay(LOOK_MS);
    }
  }

  /** Resolves with the first result of `take` that is not undefined. Throws `GrantOver`. */
  async answer<T>(take: () => T | undefined): Promise<T> {
    for (;;) {
      this.#look();
      const taken = take();
      if (taken !== undefined) return taken;
      if (Date.now() > answerDueAt(this.record)) throw new GrantOver('expired', 'nobody answered');
      await delay(LOOK_MS);
    }
  }

  #look(): GrantState | undefined {
    const state = this.#state();
    if (state !== undefined && state.ended !== null) throw new GrantOver('expired', state.ended);
    if (!this.#isThere()) throw new GrantOver('ended', 'revoked');
    this.#report(state);
    return state;
  }

  /** While the file of tokens cannot be read, the agent uses its earlier content. */
  #isThere(): boolean {
    try {
      return readTokens(this.tokensPath, ownerOf(this.tokensPath)).some(({ id }) => id === this.record.id);
    } catch (error) {
      if (error instanceof TokenFileFault) return true;
      throw error;
    }
  }

  #state(): GrantState | undefined {
    const directory = grantsDirectory(sessionsHere());
    try {
      const state = readState(directory, this.key, this.record);
      return typeof state === 'string' ? undefined : state;
    } catch (error) {
      fail(EXIT_FAILURE, cannotRead(directory, error));
    }
  }

  /** Prints on standard error what happens on the page. */
  #report(state: GrantState | undefined): void {
    if (state !== undefined && !this.#isEntered) {
      this.#isEntered = true;
      const host = visibleLine(new URL(state.redirect_uri).host);
      process.stderr.write(`code entered for ${host}; waiting for it to fetch its token\n`);
    }
    const last = state === undefined ? readTry(grantsDirectory(sessionsHere()), this.key, this.record) : undefined;
    if (last?.cancels !== undefined) this.#reportCancel(last.cancels, last.address);
    else if (last !== undefined) this.#reportTry(last);
  }

  #reportTry(last: CodeTry): void {
    if (last.count <= this.#tries) return;
    this.#tries = last.count;
    const from = `from ${visibleLine(last.address)}, ${last.count} of ${last.most}`;
    process.stderr.write(
      last.kinds.length === 0
        ? `a wrong code was entered ${from}\n`
        : `the code was entered for another kind of client ${from}. If that was you: agent3 connect --client ${visibleLine(last.kinds.join(' or '))}, not ${KIND_NAMES[this.record.grant.client as ClientKind]}\n`,
    );
  }

  #reportCancel(cancels: number, address: string): void {
    if (cancels <= this.#cancels) return;
    this.#cancels = cancels;
    process.stderr.write(
      `Cancel was pressed on the page from ${visibleLine(address)}, without the code, so the code is still valid. To end it: Ctrl-C\n`,
    );
  }
}

/** Reads what the owner types, from its creation on. */
export class Answers {
  readonly #lines: string[] = [];
  #isOver = false;

  constructor() {
    const lines = createInterface({ input: process.stdin, terminal: false });
    lines.on('line', (line) => this.#lines.push(line));
    lines.on('close', () => {
      this.#isOver = true;
    });
  }

  /** Drops what was typed so far, before the question. */
  forget(): void {
    this.#lines.length = 0;
  }

  /** Returns the next line; `no` when standard input has ended; undefined while there is no line. */
  take(): string | undefined {
    return this.#lines.shift() ?? (this.#isOver ? 'no' : undefined);
  }
}
