import {
  type JSONRPCMessage,
  parseJSONRPCMessage,
  serializeMessage,
  type Transport,
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import type { Logger } from 'pino';
import { DEFAULT_PRINCIPAL } from '../http/auth.ts';
import { type Exchange, localExchange } from '../http/exchange.ts';
import { logExchange } from '../http/respond.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { normalize } from './message.ts';
import { firesWith, type McpServerDeps, mcpServer } from './server.ts';

/** What the door works with. */
export interface StdioDeps extends McpServerDeps {
  readonly logger: Logger;
  readonly replySeconds: number;
}

/** MCP over standard input and output, for one client on this machine: who may start the agent needs no token. */
export class StdioDoor {
  readonly #lines = new Lines();
  #calls = 0;

  private constructor(private readonly deps: StdioDeps) {}

  static open(deps: StdioDeps): StdioDoor {
    const door = new StdioDoor(deps);
    const warn = ({ name }: Error): void =>
      deps.logger.warn({ fault: name }, 'a message of the client could not be read');
    serveStdio(
      () =>
        mcpServer(deps, DEFAULT_PRINCIPAL, ({ mcpReq: { signal } }) => {
          const exchange = door.#begin();
          return { exchange, cancelled: firesWith(signal), hearsProgress: true, end: () => door.#end(exchange) };
        }),
      { transport: door.#lines, onerror: warn },
    );
    return door;
  }

  /** Fires when the client has closed its end. */
  get closed(): OneShotEvent {
    return this.#lines.closed;
  }

  /** Calls that wait for their answer, and answers that the client has not taken yet. */
  pending(): number {
    return this.#calls + (process.stdout.writableLength > 0 ? 1 : 0);
  }

  stopAccepting(): void {
    process.stdin.pause();
  }

  #begin(): Exchange {
    this.#calls++;
    return localExchange(DEFAULT_PRINCIPAL, 'tools/call', this.deps.replySeconds);
  }

  #end(exchange: Exchange): void {
    const durationMs = performance.now() - exchange.startedMs;
    // Its answer is written right after this.
    setImmediate(() => {
      this.#calls--;
      logExchange(this.deps.logger, exchange, {
        status: undefined,
        durationMs,
        bytes: undefined,
        error: exchange.error,
      });
    });
  }
}

/** A longer line than the body of a request is refused: its client sends no line breaks. */
const MAX_LINE_BYTES = 4_194_304;

/**
 * Messages as lines of standard input and output. The package's own transport drops the calls under way when the client
 * closes its end; here they are answered still.
 */
class Lines implements Transport {
  readonly closed = new OneShotEvent();
  onmessage?: (message: JSONRPCMessage) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  readonly #decoder = new TextDecoder();
  #rest = '';

  async start(): Promise<void> {
    const close = () => this.closed.fire();
    process.stdin.on('data', (chunk: Uint8Array) => this.#receive(this.#decoder.decode(chunk, { stream: true })));
    process.stdin.on('end', close);
    process.stdin.on('close', close);
    process.stdout.on('error', close);
  }

  async send(message: JSONRPCMessage): Promise<void> {
    process.stdout.write(serializeMessage(message));
  }

  async close(): Promise<void> {
    process.stdin.pause();
    this.onclose?.();
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE_BYTES) {
      this.#rest = '';
      this.onerror?.(new RangeError('a line without an end'));
    }
    for (const line of lines) if (line.trim() !== '') this.#take(line);
  }

  #take(line: string): void {
    let message: JSONRPCMessage;
    try {
      message = parseJSONRPCMessage(normalize(JSON.parse(line)));
    } catch (error) {
      this.onerror?.(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.onmessage?.(message);
  }
}
