import type { AddressList } from '../core/address-list.ts';
import { type BodyReading, readMessage } from './body.ts';
import type { Exchange } from './exchange.ts';
import type { AnswerDone, McpSessions, McpSessionsParts } from './mcp-sessions.ts';
import { requestOrigin } from './openapi.ts';
import { refuseForeignOrigin } from './origin.ts';

/** What the door works with. */
export interface McpParts extends McpSessionsParts {
  readonly trustedProxies: AddressList;
  readonly publicUrl: string | undefined;
}

/** The methods of `/mcp`. The server never speaks first, so there is no stream to GET. */
export const MCP_METHODS = ['POST', 'DELETE'] as const;

/** Outlives a reload of the certificate, which makes a new app of the same parts. */
const sessions = new WeakMap<McpParts, Promise<McpSessions>>();

/**
 * Answers a request to `/mcp`: MCP's Streamable HTTP. `done` is called when the answer is out, with its status and bytes. Throws an
 * `AgentError` for a foreign page, a body that is no JSON and a session that is over.
 */
export async function answerMcp(
  parts: McpParts,
  request: Request,
  exchange: Exchange,
  reading: BodyReading,
  done: AnswerDone,
): Promise<Response> {
  const own = requestOrigin(request.url, request.headers, parts.trustedProxies.has(exchange.peer));
  refuseForeignOrigin(request.headers, own, parts.publicUrl);
  const hasBody = request.method === 'POST';
  const body = hasBody ? await readMessage(request, reading) : undefined;
  return (await theSessions(parts)).answer(request, body, exchange, done);
}

function theSessions(parts: McpParts): Promise<McpSessions> {
  const known = sessions.get(parts);
  if (known !== undefined) return known;
  // Loaded with the first client: the SDK costs the start of the agent time and memory.
  const made = import('./mcp-sessions.ts').then(({ McpSessions }) => new McpSessions(parts));
  sessions.set(parts, made);
  return made;
}
