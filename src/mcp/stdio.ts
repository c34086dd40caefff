import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import type { Logger } from 'pino';
import { logExchange } from '../http/access-log.ts';
import { DEFAULT_PRINCIPAL } from '../http/auth.ts';
import { type Exchange, localExchange } from '../http/exchange.ts';
import { SignalOnce } from '../lib/signal-once.ts';
import { type McpServerParts, mcpServer } from './server.ts';

/** What the door works with. */
export interface StdioParts extends McpServerParts {
  readonly logger: Logger;
  readonly replySeconds: number;
}

/** MCP over standard input and output, for one client on this machine: who may start the agent needs no token. */
export class StdioDoor {
  /** Fires when the client has closed its end. */
  readonly closed = new SignalOnce();
  #calls = 0;

  private constructor(private readonly parts: StdioParts) {}

  /** Begins to read standard input. */
  static async open(parts: StdioParts): Promise<StdioDoor> {
    const door = new StdioDoor(parts);
    const transport = new StdioServerTransport();
    const close = () => door.closed.fire();
    transport.onclose = close;
    process.stdin.on('end', close);
    process.stdin.on('close', close);
    process.stdout.on('error', close);
    const server = mcpServer(parts, {
      closed: door.closed,
      begin: () => door.#begin(),
      end: (exchange) => door.#end(exchange),
    });
    server.onerror = ({ name }) => parts.logger.warn({ fault: name }, 'a message of the client could not be read');
    await server.connect(transport);
    return door;
  }

  /** Calls that wait for their answer, and answers that the client has not taken yet. */
  pending(): number {
    return this.#calls + (process.stdout.writableLength > 0 ? 1 : 0);
  }

  /** Takes no more calls. */
  stopAccepting(): void {
    process.stdin.pause();
  }

  #begin(): Exchange {
    this.#calls++;
    return localExchange(DEFAULT_PRINCIPAL, 'tools/call', this.parts.replySeconds);
  }

  #end(exchange: Exchange): void {
    const durationMs = performance.now() - exchange.startedMs;
    // Its answer is written right after this.
    setImmediate(() => {
      this.#calls--;
      logExchange(this.parts.logger, exchange, {
        status: undefined,
        durationMs,
        bytes: undefined,
        error: exchange.error,
      });
    });
  }
}
