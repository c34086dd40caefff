import type { McpDoor } from '../http/app.ts';
import { readJson } from '../http/body.ts';
import { requestOrigin } from '../http/openapi.ts';
import { type OriginRules, requireOrigin } from '../http/origin.ts';
import type { AddressList } from '../lib/addresses.ts';
import type { McpHttp, McpHttpDeps } from './http.ts';
import type { mcpServer } from './server.ts';

/** What the MCP endpoint needs. */
export interface McpDoorDeps extends McpHttpDeps, OriginRules {
  readonly trustedProxies: AddressList;
}

/** Makes MCP's Streamable HTTP at `/mcp` for the app. `newServer` makes the server behind it, by default the agent's. */
export function mcpDoor(deps: McpDoorDeps, newServer?: typeof mcpServer): McpDoor {
  let http: Promise<McpHttp> | undefined;
  return {
    originOf: (request, { peer }) => {
      const own = requestOrigin(request.url, request.headers, deps.trustedProxies.has(peer));
      return requireOrigin(request.headers, own, deps);
    },
    answer: async (request, exchange, reading, done) => {
      const body = await readJson(request, reading, 'with one message of JSON-RPC 2.0');
      // Loaded for the first client, to save time and memory at the start of the agent.
      http ??= import('./http.ts').then(({ McpHttp }) => new McpHttp(deps, newServer));
      return (await http).answer(request, body, exchange, done);
    },
  };
}
