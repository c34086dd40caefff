import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { Tool } from '@modelcontextprotocol/sdk/types.js';
import type { Agent } from './agent.ts';
import type { Answer } from './answer.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';

/** What a tool gave: an answer, or the text of an error. */
export interface ToolResult {
  readonly answer: Answer;
  readonly text: string;
  readonly isError: boolean;
  /** Of the whole result as JSON. */
  readonly chars: number;
}

/** A client of the official SDK that has introduced itself and knows the tools: it checks each result by its schema. */
export class McpClient implements AsyncDisposable {
  private constructor(
    readonly sdk: Client,
    readonly tools: readonly Tool[],
  ) {}

  static async overHttp(agent: Agent, headers: Readonly<Record<string, string>> = {}): Promise<McpClient> {
    const init = { headers: { authorization: `Bearer ${agent.token}`, ...headers } };
    const transport = new StreamableHTTPClientTransport(new URL(`${agent.url}/mcp`), { requestInit: init });
    return McpClient.#connect(transport as Transport);
  }

  /** Starts `agent3 mcp` as a client does. */
  static async overStdio(env: Readonly<Record<string, string>>): Promise<McpClient & { readonly pid: number }> {
    const transport = new StdioClientTransport({
      command: BINARY,
      args: ['mcp'],
      env: { ...BASE_ENVIRONMENT, ...env },
      stderr: 'ignore',
    });
    const client = await McpClient.#connect(transport);
    return Object.assign(client, { pid: transport.pid ?? 0 });
  }

  static async #connect(transport: Transport): Promise<McpClient> {
    const sdk = new Client({ name: 'agent3-test', version: '1' });
    await sdk.connect(transport);
    return new McpClient(sdk, (await sdk.listTools()).tools);
  }

  /** Calls a tool. Throws for an error of the protocol, and for a result that does not fit the tool's schema. */
  async call(
    name: string,
    args: Readonly<Record<string, unknown>> = {},
    options?: RequestOptions,
  ): Promise<ToolResult> {
    const result = await this.sdk.callTool({ name, arguments: args }, undefined, options);
    const [content] = result.content as { readonly type: string; readonly text: string }[];
    return {
      answer: result.structuredContent as unknown as Answer,
      text: content?.text ?? '',
      isError: result.isError === true,
      chars: JSON.stringify(result).length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sdk.close();
  }
}
