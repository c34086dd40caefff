import { asksForInput } from '../diagnosis/waiting.ts';
import { Deadline, delay, OneShotEvent } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { MAX_DIALOGS, MAX_WAIT_SECONDS } from '../lib/limits.ts';
import { incompleteTail } from '../lib/utf8.ts';
import { openSequenceLength } from '../lib/visible.ts';
import { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import type { CommandInput } from '../process/input.ts';
import { Growth } from '../sessions/growth.ts';
import type { SessionId } from '../sessions/record.ts';
import { type Session, STREAMS, type StreamName } from '../sessions/session.ts';
import { Matcher } from './matcher.ts';

/** One step of a dialog: what is waited for, a regular expression, and what is typed then. */
export interface DialogStep {
  /** As the client wrote it. */
  readonly expect: string;
  readonly pattern: string;
  readonly flags: string;
  readonly send: string;
}

/** What a dialog works with. */
export interface DialogDeps {
  readonly ownArgv: readonly string[];
  readonly session: Session;
  readonly input: CommandInput;
  readonly steps: readonly DialogStep[];
  readonly end: OneShotEvent;
  /** The processes of the command. */
  readonly members: () => readonly number[];
}

/** How a dialog went. */
interface DialogResult {
  /** How long each step took that was done. */
  readonly dialog_ms: number[];
  /** Why the next one was not, in sentences. */
  readonly dialog_note?: string;
}

/** A command that waits for input and writes nothing for so long will not write what is waited for. */
const SILENT_SECONDS = 5;
/** How long a command is given to read what is typed. */
const READ_SECONDS = 5;
/**
 * A prompt may be written before the terminal is set for its answer: so long, it is waited for until it reads. Where it is
 * certain that nobody reads from a terminal, that is waited for to the end: the terminal may still show what is typed.
 */
const SETTLE_SECONDS = 1;
const SETTLE_LOOK_MS = 10;
const FIRST_LOOK_SECONDS = 0.15;
/** A pattern that is being looked for is given up, and the answer leaves. */
const STOP_SECONDS = 1;
const SLOWEST_LOOK_SECONDS = 1;

const slots = new ConcurrencyLimiter(MAX_DIALOGS, 'dialogs', '');

/** The dialogs that are held. */
export class Dialogs {
  readonly #held = new Map<SessionId, Dialog>();

  /** The dialog with the command of a session. Undefined: it has none, or it is over. */
  of({ id }: Session): Dialog | undefined {
    return this.#held.get(id);
  }

  /** Begins a dialog. `whenOver` gets how it went. */
  hold(deps: DialogDeps, whenOver: (went: DialogResult) => void): void {
    const { id } = deps.session;
    const dialog = new Dialog(deps, (went) => {
      this.#held.delete(id);
      whenOver(went);
    });
    this.#held.set(id, dialog);
  }
}

/** Types into a command what its client has said before: step by step, each when its pattern has come. */
class Dialog {
  readonly over = new OneShotEvent();
  readonly #stopped = new OneShotEvent();
  /** Why it was stopped, where that was not for the time. */
  #why: string | undefined;
  readonly #ms: number[] = [];
  readonly #shown: readonly ShownText[];
  /** Also where no call waits for it: a person has approved its command meanwhile. */
  readonly #deadline = Deadline.after(MAX_WAIT_SECONDS);

  /** Begins at once. `whenOver` gets how it went. */
  constructor(
    private readonly deps: DialogDeps,
    whenOver: (went: DialogResult) => void,
  ) {
    this.#shown = STREAMS.map((name) => new ShownText(deps.session, name));
    void this.#takeSteps().then((note) => {
      whenOver({ dialog_ms: this.#ms, ...(note !== undefined && { dialog_note: note }) });
      this.over.fire();
    });
  }

  /** Waits for its end, and ends it at `deadline`: what is typed after that is up to the client. */
  async until(deadline: Deadline, shutdown: OneShotEvent): Promise<void> {
    await deadline.waitFor(this.over, shutdown);
    this.#stopped.fire();
    await Deadline.after(STOP_SECONDS).waitFor(this.over);
  }

  /** Ends it for a reason: what it has begun to type it types to the end. Resolves when it types no more. */
  async stop(why: string): Promise<void> {
    this.#why = why;
    this.#stopped.fire();
    await Deadline.after(READ_SECONDS + STOP_SECONDS).waitFor(this.over);
  }

  async #takeSteps(): Promise<string | undefined> {
    const { session, steps, ownArgv } = this.deps;
    let release = (): void => {};
    try {
      release = await slots.acquire(session.record.principal, MAX_DIALOGS, async (assigned) => {
        await this.#deadline.waitFor(assigned, this.#stopped);
        return assigned.fired;
      });
      using matcher = new Matcher(ownArgv);
      for (const [index, step] of steps.entries()) {
        const startedMs = performance.now();
        const why = (await this.#waitFor(step, matcher)) ?? (await this.#type(step.send));
        if (why !== undefined) return describe(index, steps, why);
        this.#ms.push(Math.round(performance.now() - startedMs));
      }
      return undefined;
    } catch (error) {
      const why = error instanceof TooManyRequests ? 'too many are held at once' : String(error);
      return `The dialog was not held: ${why}.`;
    } finally {
      release();
    }
  }

  /** Waits until a pattern is in what the command wrote since the step before. Gives why it did not come. */
  async #waitFor(step: DialogStep, matcher: Matcher): Promise<string | undefined> {
    const { session, end } = this.deps;
    using stdout = new Growth(session.path('stdout'));
    using stderr = new Growth(session.path('stderr'));
    let silentSinceMs = performance.now();
    let pause = FIRST_LOOK_SECONDS;
    for (let isFirst = true; ; isFirst = false) {
      const grown = [stdout.next(), stderr.next()];
      const isOver = end.fired;
      for (const shown of this.#shown) {
        if (!shown.read() && !isFirst) continue;
        const found = await matcher.find(step, shown.text);
        if (found === 'slow') return 'its pattern takes too long to match: use a simpler one';
        if (found === undefined) continue;
        shown.consume(found);
        // Nothing is typed once the client types again.
        return this.#stopped.fired ? (this.#why ?? 'that did not come in time') : undefined;
      }
      if (isOver) return 'the command ended before that came';
      if (this.#stopped.fired || this.#deadline.passed) return this.#why ?? 'that did not come in time';
      await this.#deadline.orAfter(pause).waitFor(end, this.#stopped, ...grown);
      if (grown.some(({ fired }) => fired)) {
        silentSinceMs = performance.now();
        pause = FIRST_LOOK_SECONDS;
        // A flood of output wakes us no more often than that.
        await delay(SETTLE_LOOK_MS);
        continue;
      }
      if (performance.now() - silentSinceMs > SILENT_SECONDS * 1000 && this.#asks() === 'yes')
        return 'that did not come';
      pause = Math.min(pause * 1.5, SLOWEST_LOOK_SECONDS);
    }
  }

  #asks(): 'yes' | 'no' | 'maybe' {
    const { input, members } = this.deps;
    return input.isOpen ? asksForInput(members(), input.what) : 'no';
  }

  /** Waits until the command reads, or may read. Gives why that did not come. */
  async #waitForReader(): Promise<string | undefined> {
    const { input, end } = this.deps;
    const settled = Deadline.after(SETTLE_SECONDS);
    // A look reads /proc for each process of the command.
    for (
      let pause = SETTLE_LOOK_MS / 1000;
      input.isOpen && !end.fired;
      pause = Math.min(pause * 2, SLOWEST_LOOK_SECONDS)
    ) {
      const asks = this.#asks();
      if (asks === 'yes' || (settled.passed && (asks === 'maybe' || input.what.kind === 'pipe'))) return undefined;
      if (this.#stopped.fired || this.#deadline.passed)
        return this.#why ?? 'nobody read the terminal, which may show what is typed';
      await this.#deadline.orAfter(pause).waitFor(end, this.#stopped);
    }
    return undefined;
  }

  /** Types a text once the command reads. Gives why that is not done. */
  async #type(text: string): Promise<string | undefined> {
    const { input, end } = this.deps;
    const why = text === '' ? undefined : await this.#waitForReader();
    if (why !== undefined) return why;
    const bytes = Buffer.from(text);
    const deadline = Deadline.after(READ_SECONDS);
    for (let at = 0; at < bytes.length; ) {
      at += input.write(bytes.subarray(at), true);
      if (at === bytes.length) break;
      if (!input.isOpen || end.fired) return 'its input is closed';
      if (deadline.passed) return `it read ${at} of the ${bytes.length} bytes that were typed`;
      await delay(SETTLE_LOOK_MS);
    }
    return undefined;
  }
}

const SHOWN_PATTERN_CHARS = 100;

function describe(index: number, steps: readonly DialogStep[], why: string): string {
  const pattern = JSON.stringify(steps[index]?.expect.slice(0, SHOWN_PATTERN_CHARS));
  return `The dialog ended at step ${index + 1} of ${steps.length}, ${pattern}: ${why}.`;
}

/** So much of what a command wrote is searched: a prompt stands at its end. */
const MOST_CHARS = 16_384;
const PIECE_BYTES = 65_536;
/** What is further behind is passed over: a command can write a gigabyte a second. */
const MOST_BEHIND_BYTES = 1_048_576;

/** What a stream shows since the step before, without escape sequences. */
class ShownText {
  #offset = 0;
  /** The beginning of an escape sequence. */
  #open = '';
  text = '';

  constructor(
    private readonly session: Session,
    private readonly name: StreamName,
  ) {}

  /** Takes what was written since the last time; false where that is nothing. */
  read(): boolean {
    const stream = this.session.stream(this.name);
    this.#offset = Math.max(this.#offset, stream.size - MOST_BEHIND_BYTES);
    let isNew = false;
    for (;;) {
      const piece = stream.read(this.#offset, PIECE_BYTES);
      const bytes = piece.subarray(0, piece.length - incompleteTail(piece));
      if (bytes.length === 0) return isNew;
      isNew = true;
      this.#offset += bytes.length;
      const raw = this.#open + Buffer.from(bytes).toString();
      this.#open = raw.slice(raw.length - openSequenceLength(raw));
      const shown = Bun.stripANSI(raw.slice(0, raw.length - this.#open.length)).replaceAll('\r', '');
      this.text = (this.text + shown).slice(-MOST_CHARS);
    }
  }

  /** Forgets the text up to `end`. */
  consume(end: number): void {
    this.text = this.text.slice(end);
  }
}
