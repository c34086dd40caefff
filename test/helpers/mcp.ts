import { Client, type RequestOptions, StreamableHTTPClientTransport, type Tool } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { Agent } from './agent.ts';
import type { Answer } from './answer.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';

/** What a tool gave: an answer, or the text of an error. */
export interface ToolResult {
  /** Its fields; what an answer leaves out because it says nothing is filled in. */
  readonly answer: Answer;
  /** Of the first block. */
  readonly text: string;
  readonly texts: readonly string[];
  readonly isError: boolean;
  /** Of the whole result as JSON. */
  readonly chars: number;
}

/** The protocol since 2026-07-28, without a handshake, and the one before. */
export type Era = 'newer' | 'older';

/** Tools whose answers begin with output. */
const OUTPUT_TOOLS = ['shell', 'read_session', 'write_session'];

/** A client of the official package that knows the tools. */
export class McpClient implements AsyncDisposable {
  private constructor(
    readonly sdk: Client,
    readonly tools: readonly Tool[],
  ) {}

  static async overHttp(
    agent: Agent,
    headers: Readonly<Record<string, string>> = {},
    era: Era = 'older',
  ): Promise<McpClient> {
    const init = { headers: { authorization: `Bearer ${agent.token}`, ...headers } };
    const transport = new StreamableHTTPClientTransport(new URL(`${agent.url}/mcp`), { requestInit: init });
    return McpClient.#connect(transport, era);
  }

  /** Starts `agent3 mcp` as a client does. */
  static async overStdio(
    env: Readonly<Record<string, string>>,
    era: Era = 'older',
  ): Promise<McpClient & { readonly pid: number }> {
    const transport = new StdioClientTransport({
      command: BINARY,
      args: ['mcp'],
      env: { ...BASE_ENVIRONMENT, ...env },
      stderr: 'ignore',
    });
    const client = await McpClient.#connect(transport, era);
    return Object.assign(client, { pid: transport.pid ?? 0 });
  }

  static async #connect(transport: StreamableHTTPClientTransport | StdioClientTransport, era: Era): Promise<McpClient> {
    const mode = era === 'newer' ? { pin: '2026-07-28' } : 'legacy';
    const sdk = new Client({ name: 'agent3-test', version: '1' }, { versionNegotiation: { mode } });
    await sdk.connect(transport);
    return new McpClient(sdk, (await sdk.listTools()).tools);
  }

  /** Calls a tool. Throws for an error of the protocol. */
  async call(
    name: string,
    args: Readonly<Record<string, unknown>> = {},
    options?: RequestOptions,
  ): Promise<ToolResult> {
    const result = await this.sdk.callTool({ name, arguments: args }, options);
    const texts = result.content.map((block) => (block.type === 'text' ? block.text : ''));
    const isError = result.isError === true;
    return {
      answer: isError ? ({} as Answer) : answerOf(name, texts),
      text: texts[0] ?? '',
      texts,
      isError,
      chars: JSON.stringify(result).length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sdk.close();
  }
}

/** The answer that the text blocks of a tool contain. */
export function answerOf(tool: string, texts: readonly string[]): Answer {
  if (tool === 'read_file' || tool === 'edit_file') return JSON.parse(texts[1] ?? '{}');
  if (!OUTPUT_TOOLS.includes(tool)) return JSON.parse(texts[0] ?? '{}');
  const [stdout = '', ...more] = texts;
  const errors = more[0]?.startsWith('[stderr]\n') ? more.shift() : undefined;
  const fields = JSON.parse(more[0] ?? '{}');
  const isOpen = fields.status === 'running' || fields.status === 'waiting';
  const stderr = errors?.slice('[stderr]\n'.length) ?? '';
  return { stdout, stderr, exit_code: isOpen ? null : 0, status: 'done', ...fields };
}
