import { within } from './waiting.ts';

/** One line of the agent's log, as pino writes it. */
export type LogLine = Readonly<Record<string, unknown>>;

/** Reads an agent's standard error and hands out its lines. */
export class LogReader {
  /** Every line that is a JSON object, in order. */
  readonly lines: LogLine[] = [];
  /** Everything read so far, as it came. */
  text = '';
  readonly ended: Promise<void>;
  #rest = '';
  readonly #waiting = new Set<() => void>();

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.ended = this.#read(stream);
  }

  /** The first line that `matches`, also one that came earlier. Throws when none comes. */
  async find(what: string, matches: (line: LogLine) => boolean): Promise<LogLine> {
    const found = Promise.withResolvers<LogLine>();
    const look = (): void => {
      const line = this.lines.find(matches);
      if (line !== undefined) found.resolve(line);
    };
    this.#waiting.add(look);
    look();
    try {
      return await within(`log line "${what}"`, Promise.race([found.promise, this.#endWithout(what, matches)]));
    } finally {
      this.#waiting.delete(look);
    }
  }

  /** The `request` lines with this value in `field`. */
  requests(field: string, value: unknown): LogLine[] {
    return this.lines.filter((line) => line['msg'] === 'request' && line[field] === value);
  }

  async #endWithout(what: string, matches: (line: LogLine) => boolean): Promise<LogLine> {
    await this.ended;
    const line = this.lines.find(matches);
    if (line === undefined) throw new Error(`the agent ended without "${what}":\n${this.text}`);
    return line;
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const piece = decoder.decode(chunk, { stream: true });
      this.text += piece;
      this.#rest += piece;
      this.#takeLines();
      for (const look of this.#waiting) look();
    }
  }

  #takeLines(): void {
    const parts = this.#rest.split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) if (part.startsWith('{')) this.lines.push(JSON.parse(part) as LogLine);
  }
}
