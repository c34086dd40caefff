/** What is on record of something typed: how much, and what, where the terminal has shown it. */
export interface TypedLine {
  readonly bytes: number;
  readonly text?: string;
}

/** A line that does not end is on record in parts of this size. */
const MOST_BYTES = 1024;
const [LF, CR, END_OF_INPUT] = [10, 13, 4];

/** Puts keystrokes together, line by line: those that were shown as text, of the others how many there were. */
export class TypedLines {
  #open: Buffer[] = [];
  #isShown = false;
  #isClosed = false;

  constructor(private readonly record: (line: TypedLine) => void) {}

  add(bytes: Buffer, isShown: boolean): void {
    if (isShown !== this.#isShown) this.#end();
    this.#isShown = isShown;
    this.#open.push(bytes);
    const size = this.#open.reduce((sum, { length }) => sum + length, 0);
    if (size >= MOST_BYTES || [LF, CR, END_OF_INPUT].includes(bytes.at(-1) ?? 0) || this.#isClosed) this.#end();
  }

  /** Records what is open. What was on its way to the terminal meanwhile is recorded when it is there. */
  close(): void {
    this.#isClosed = true;
    this.#end();
  }

  #end(): void {
    if (this.#open.length === 0) return;
    const all = Buffer.concat(this.#open.splice(0));
    this.record({ bytes: all.length, ...(this.#isShown && { text: all.toString() }) });
  }
}
