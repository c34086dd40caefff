import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { FOLLOW_SIGN_SECONDS } from '../lib/limits.ts';
import { ConnectionBroken, faultOf, faultOfAnswer, NotAgent3 } from './faults.ts';

/** Most calls are answered within milliseconds. A connection that takes longer than this has failed. */
const ANSWER_SECONDS = 30;

/** The agent sends something every 10 s. After three times that, the connection has failed. */
const SILENCE_SECONDS = 3 * FOLLOW_SIGN_SECONDS + 5;

/** More than the largest answer that settings allow, of 100 million characters. */
const MAX_ANSWER_BYTES = 134_217_728;

/** Options of one call. */
export interface CallOptions {
  readonly seconds?: number;
  /** Use a new connection: the other side may be about to close an idle one. */
  readonly fresh?: boolean;
}

/** Calls a remote Agent3. */
export class AgentClient {
  /** `url` has no slash at its end. `isSelf`: this machine's own agent, whose certificate has another name. */
  constructor(
    readonly url: string,
    private readonly token: string,
    private readonly options: { readonly isSelf?: boolean } = {},
  ) {}

  /** Calls an operation and returns its answer. Throws a `ClientFault`. */
  async call<T extends object>(operation: string, args: object, options: CallOptions = {}): Promise<T> {
    const { seconds = ANSWER_SECONDS, fresh = false } = options;
    try {
      // `POST /` answers with every field, which programs need.
      const response = await this.#fetch('/', {
        method: 'POST',
        body: JSON.stringify({ op: operation, args }),
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(seconds * 1000),
        keepalive: !fresh,
      });
      return (await this.#fieldsOf(response)) as T;
    } catch (error) {
      const isLate = error instanceof Error && error.name === 'TimeoutError';
      throw isLate ? this.#late(seconds) : faultOf(this.url, error);
    }
  }

  /** Streams the events of a session from these offsets on, with exact bytes, over one connection. Throws a `ClientFault`. */
  async *events(session: string, stdout: number, stderr: number): AsyncGenerator<EventSourceMessage, void> {
    const controller = new AbortController();
    const inTime = async <T>(promise: Promise<T>): Promise<T> => {
      const timer = setTimeout(() => controller.abort(this.#late(SILENCE_SECONDS)), SILENCE_SECONDS * 1000);
      try {
        return await promise;
      } catch (error) {
        throw faultOf(this.url, error);
      } finally {
        clearTimeout(timer);
      }
    };
    const path = `/sessions/${session}/stream?stdout=${stdout}&stderr=${stderr}&encoding=base64`;
    try {
      const response = await inTime(this.#fetch(path, { signal: controller.signal, keepalive: false }));
      if (!response.ok || response.body === null) await inTime(this.#fieldsOf(response));
      const reader = response.body?.getReader();
      const events: EventSourceMessage[] = [];
      const parser = createParser({ onEvent: (event) => events.push(event) });
      const decoder = new TextDecoder();
      let unparsedBytes = 0;
      while (reader !== undefined) {
        const { done, value } = await inTime(reader.read());
        if (done) return;
        parser.feed(decoder.decode(value, { stream: true }));
        unparsedBytes = events.length > 0 ? 0 : unparsedBytes + value.length;
        if (unparsedBytes > MAX_ANSWER_BYTES) throw this.#tooLong(response.status);
        yield* events.splice(0);
      }
    } finally {
      controller.abort();
    }
  }

  /**
   * Sends or fetches bytes of a file by a link that `upload` or `download` has returned. `init` has the signal to abort.
   * Throws a `ClientFault`.
   */
  async transfer(link: string, init: BunFetchRequestInit): Promise<Response> {
    try {
      // The agent may use another URL for itself than this one.
      const path = `/transfer/${link.split('/').at(-1)}`;
      const response = await this.#fetch(path, { ...init, keepalive: false, timeout: false });
      // HEAD of a link that was used, or has ended, is an answer.
      const isAnswer = response.ok || (init.method === 'HEAD' && [404, 410].includes(response.status));
      if (!isAnswer) await this.#fieldsOf(response);
      return response;
    } catch (error) {
      throw faultOf(this.url, error);
    }
  }

  #fetch(path: string, init: BunFetchRequestInit): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string> | undefined), 'x-auth-token': this.token };
    // A redirect would send the token elsewhere.
    const tls = this.options.isSelf === true ? { rejectUnauthorized: false } : undefined;
    return fetch(this.url + path, { ...init, headers, redirect: 'manual', ...(tls !== undefined && { tls }) });
  }

  #late(seconds: number): ConnectionBroken {
    return new ConnectionBroken(`${this.url} did not answer within ${seconds} s`);
  }

  #tooLong(status: number): NotAgent3 {
    return new NotAgent3(`${this.url} is not Agent3: its answer is longer than an answer can be.`, status);
  }

  async #fieldsOf(response: Response): Promise<object> {
    const text = await this.#textOf(response);
    if (!response.ok) throw faultOfAnswer(this.url, response.status, response.headers, text);
    const fields = parseObject(text);
    if (fields === undefined)
      throw new NotAgent3(`${this.url} is not Agent3: its answer is not JSON.`, response.status);
    return fields;
  }

  /** A server that was taken over must not fill the memory of its client. */
  async #textOf({ body, status }: Response): Promise<string> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of body ?? []) {
      bytes += piece.length;
      if (bytes > MAX_ANSWER_BYTES) throw this.#tooLong(status);
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString();
  }
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
