/** One event of a stream (HTML standard, section 9.2). */
export interface ServerSentEvent {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

/** Takes a stream of events apart, in whatever pieces it comes. An event that is not whole at the end is none. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #rest = '';
  #fields = new Map<string, string>();

  /** The events that `bytes` complete. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  #line(line: string): ServerSentEvent[] {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    const earlier = name === 'data' ? this.#fields.get('data') : undefined;
    // A comment has no name.
    if (name !== '') this.#fields.set(name, earlier === undefined ? value : `${earlier}\n${value}`);
    return [];
  }

  #dispatch(): ServerSentEvent[] {
    const fields = this.#fields;
    this.#fields = new Map();
    const data = fields.get('data');
    if (data === undefined) return [];
    return [{ event: fields.get('event') ?? 'message', id: fields.get('id') ?? '', data }];
  }
}
