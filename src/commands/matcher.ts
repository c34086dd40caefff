/** A pattern that takes longer is given up. */
const MATCH_MS = 2000;

/** The question to the process, a line of JSON. It answers with one: the end of the first match, or null. */
export interface MatchQuestion {
  readonly pattern: string;
  readonly flags: string;
  readonly text: string;
}

/** Looks for patterns in its own process, which is killed when one takes too long: no pattern blocks the agent. */
export class Matcher implements Disposable {
  readonly #child: Bun.Subprocess<'pipe', 'pipe', 'ignore'>;
  readonly #answers: ReadableStreamDefaultReader<Uint8Array>;
  #read = '';
  #hasAnswered = false;

  /** `ownArgv` is how this program is started again. */
  constructor(ownArgv: readonly string[]) {
    this.#child = Bun.spawn([...ownArgv, 'match-text'], {
      cwd: '/',
      // Nothing of the agent's own.
      env: {},
      detached: true,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'ignore',
    });
    this.#answers = this.#child.stdout.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  /** Returns where the first match in `text` ends; undefined without a match, `slow` if the search takes too long. */
  async find({ pattern, flags }: Omit<MatchQuestion, 'text'>, text: string): Promise<number | 'slow' | undefined> {
    const question: MatchQuestion = { pattern, flags, text };
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    await this.#child.stdin.flush();
    const line = await this.#nextLine();
    return line === undefined ? 'slow' : (JSON.parse(line) ?? undefined);
  }

  async #nextLine(): Promise<string | undefined> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#hasAnswered ? MATCH_MS : START_MS);
    try {
      while (!this.#read.includes('\n')) {
        const { value, done } = await this.#answers.read();
        if (done) return undefined;
        this.#read += Buffer.from(value).toString();
      }
    } finally {
      clearTimeout(timer);
    }
    this.#hasAnswered = true;
    const end = this.#read.indexOf('\n');
    const line = this.#read.slice(0, end);
    this.#read = this.#read.slice(end + 1);
    return line;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** The process starts and answers within this, on a busy machine too. */
const START_MS = 7000;
