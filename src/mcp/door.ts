import type { McpDoor } from '../http/app.ts';
import { readMessage } from '../http/body.ts';
import { requestOrigin } from '../http/openapi.ts';
import { refuseForeignOrigin } from '../http/origin.ts';
import type { AddressList } from '../lib/address-list.ts';
import type { McpSessions, McpSessionsParts } from './sessions.ts';

/** What the door works with. */
export interface McpParts extends McpSessionsParts {
  readonly trustedProxies: AddressList;
  readonly publicUrl: string | undefined;
}

/** MCP's Streamable HTTP at `/mcp`, as a door of the app. Its sessions outlive a reload of the certificate, which makes a new app. */
export function mcpDoor(parts: McpParts): McpDoor {
  let sessions: Promise<McpSessions> | undefined;
  return {
    // The server never speaks first, so there is no stream to GET.
    methods: ['POST', 'DELETE'],
    answer: async (request, exchange, reading, done) => {
      const own = requestOrigin(request.url, request.headers, parts.trustedProxies.has(exchange.peer));
      refuseForeignOrigin(request.headers, own, parts.publicUrl);
      const body = request.method === 'POST' ? await readMessage(request, reading) : undefined;
      // Loaded with the first client: the SDK costs the start of the agent time and memory.
      sessions ??= import('./sessions.ts').then(({ McpSessions }) => new McpSessions(parts));
      return (await sessions).answer(request, body, exchange, done);
    },
  };
}
