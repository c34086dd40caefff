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

/** One step of a dialog: a regular expression to wait for, and what is typed then. */
export interface DialogStep {
  /** As the client wrote it. */
  readonly expect: string;
  readonly pattern: string;
  readonly flags: string;
  readonly send: string;
}

/** What a dialog needs. */
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
  /** The duration of each completed step. */
  readonly dialog_ms: number[];
  /** Why the next step was not done, in sentences. */
  readonly dialog_note?: string;
}

/** A command that waits for input and has written nothing for this time will not write the expected text. */
const SILENT_SECONDS = 5;
/** How long a command has to read what is typed. */
const READ_SECONDS = 5;
/**
 * A prompt may be written before the terminal is ready for its answer: the dialog waits this long until the command
 * reads. If certainly no process reads from a terminal, it waits to the end: the terminal may still echo what is typed.
 */
const SETTLE_SECONDS = 1;
const SETTLE_LOOK_MS = 10;
const FIRST_LOOK_SECONDS = 0.15;
/** How long the dialog has to give up a search, before the answer is sent. */
const STOP_SECONDS = 1;
const SLOWEST_LOOK_SECONDS = 1;

const slots = new ConcurrencyLimiter(MAX_DIALOGS, 'dialogs', '');

/** The dialogs that are in progress. */
export class Dialogs {
  readonly #held = new Map<SessionId, Dialog>();

  /** Returns the dialog with the command of a session; undefined without one, or after its end. */
  of({ id }: Session): Dialog | undefined {
    return this.#held.get(id);
  }

  /** Begins a dialog. `whenOver` gets its result. */
  hold(deps: DialogDeps, whenOver: (went: DialogResult) => void): void {
    const { id } = deps.session;
    const dialog = new Dialog(deps, (went) => {
      this.#held.delete(id);
      whenOver(went);
    });
    this.#held.set(id, dialog);
  }
}

/** Types into a command what its client has prepared: step by step, each when its pattern has come. */
class Dialog {
  readonly over = new OneShotEvent();
  readonly #stopped = new OneShotEvent();
  /** Why it was stopped, if not for the time. */
  #why: string | undefined;
  readonly #ms: number[] = [];
  readonly #shown: readonly ShownText[];
  /** Also if no call waits for it: a person has approved its command meanwhile. */
  readonly #deadline = Deadline.after(MAX_WAIT_SECONDS);

  /** Begins at once. `whenOver` gets its result. */
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

  /** Waits for its end, and ends it at `deadline`: after that, typing is up to the client. */
  async until(deadline: Deadline, shutdown: OneShotEvent): Promise<void> {
    await deadline.waitFor(this.over, shutdown);
    this.#stopped.fire();
    await Deadline.after(STOP_SECONDS).waitFor(this.over);
  }

  /** Ends it for a reason. A text that it has begun to type is completed. Resolves when it types no more. */
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
      const why = error instanceof TooManyRequests ? 'too many run at once' : String(error);
      return `The dialog was not started: ${why}.`;
    } finally {
      release();
    }
  }

  /** Waits until a pattern is in what the command wrote since the step before. Returns why it did not come. */
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
      if (isOver) return 'the command ended before it wrote that';
      if (this.#stopped.fired || this.#deadline.passed) return this.#why ?? 'that did not come in time';
      await this.#deadline.orAfter(pause).waitFor(end, this.#stopped, ...grown);
      if (grown.some(({ fired }) => fired)) {
        silentSinceMs = performance.now();
        pause = FIRST_LOOK_SECONDS;
        // Not more often, even in a flood of output.
        await delay(SETTLE_LOOK_MS);
        continue;
      }
      if (performance.now() - silentSinceMs > SILENT_SECONDS * 1000 && this.#asks() === 'yes')
        return 'the command did not write that';
      pause = Math.min(pause * 1.5, SLOWEST_LOOK_SECONDS);
    }
  }

  #asks(): 'yes' | 'no' | 'maybe' {
    const { input, members } = this.deps;
    return input.isOpen ? asksForInput(members(), input.what) : 'no';
  }

  /** Waits until the command reads, or may read. Returns why that did not happen. */
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

  /** Types a text once the command reads. Returns why it was not typed. */
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

/** How much of the output is searched: a prompt is at its end. */
const MOST_CHARS = 16_384;
const PIECE_BYTES = 65_536;
/** Older output is skipped: a command can write a gigabyte a second. */
const MOST_BEHIND_BYTES = 1_048_576;

/** The text of a stream since the step before, without escape sequences. */
class ShownText {
  #offset = 0;
  /** The beginning of an escape sequence. */
  #open = '';
  text = '';

  constructor(
    private readonly session: Session,
    private readonly name: StreamName,
  ) {}

  /** Reads what was written since the last time; false if that is nothing. */
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
