import { ForeignOrigin } from '../lib/errors.ts';

/** The sites whose pages may use `/mcp`, in addition to this machine. */
export interface OriginRules {
  readonly publicUrl: string | undefined;
  readonly allowedOrigins: readonly string[];
}

/** Chats that also connect to MCP servers from the browser. */
const CHATS = ['https://chatgpt.com', 'https://claude.ai', 'https://claude.com'];

/**
 * Returns the allowed `Origin` of a request; undefined without one, for other clients than browsers. Allowed are pages of
 * this machine, of known chats, of the settings, and of the server itself (`own`, by the request). Throws
 * `ForeignOrigin`.
 */
export function requireOrigin(headers: Headers, own: string, rules: OriginRules): string | undefined {
  const sent = headers.get('origin');
  if (sent === null) return undefined;
  const origin = sent.toLowerCase();
  if (isLoopback(origin) || CHATS.includes(origin)) return sent;
  const { publicUrl, allowedOrigins } = rules;
  if (publicUrl !== undefined && origin === new URL(publicUrl).origin) return sent;
  if (allowedOrigins.some((allowed) => allowed.toLowerCase() === origin)) return sent;
  if (origin === own.toLowerCase() && !canBeRebound(own)) return sent;
  throw new ForeignOrigin(
    'A browser sent this from a page of another site. Allowed are pages on localhost, on the address of this server, of ChatGPT and Claude, and of AGENT3_ALLOWED_ORIGINS. For a server with a domain name, its owner sets AGENT3_PUBLIC_URL.',
  );
}

/** Returns headers that let the page of `origin` read an answer (CORS, Fetch standard). */
export function corsHeaders(origin: string | undefined): Readonly<Record<string, string>> {
  if (origin === undefined) return {};
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'WWW-Authenticate, Mcp-Session-Id, Retry-After',
    vary: 'Origin',
  };
}

/** Returns the headers that answer a preflight request of a browser. */
export function preflightHeaders(origin: string | undefined): Readonly<Record<string, string>> {
  return {
    ...corsHeaders(origin),
    'access-control-allow-methods': 'POST, OPTIONS',
    'access-control-allow-headers':
      'authorization, content-type, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id',
    'access-control-max-age': '600',
  };
}

/** Returns true for an origin on a loopback name or address, which no other site has. */
export function isLoopback(origin: string): boolean {
  const host = hostOf(origin);
  return host === 'localhost' || host === '[::1]' || (host !== undefined && /^127\.\d+\.\d+\.\d+$/.test(host));
}

/**
 * Prevents DNS rebinding: for a name that an attacker points at this machine, `Host` equals the origin. An address cannot
 * be pointed elsewhere, and over HTTPS the certificate proves the name.
 */
function canBeRebound(own: string): boolean {
  const host = hostOf(own);
  const isAddress = host !== undefined && (/^\d+\.\d+\.\d+\.\d+$/.test(host) || host.startsWith('['));
  return !isAddress && !own.startsWith('https:');
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).hostname : undefined;
}
