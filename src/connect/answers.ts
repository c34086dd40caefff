import type { SignInAnswer } from '../http/sign-in.ts';
import { PAGE_HEADERS } from './page.ts';

const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' } as const;

export function json(status: number, body: unknown): SignInAnswer {
  return { status, headers: JSON_HEADERS, body: JSON.stringify(body) };
}

/** Makes an error of RFC 6749 and RFC 7591. */
export function refusal(status: number, error: string, description: string): SignInAnswer {
  return json(status, { error, error_description: description });
}

export function html(status: number, body: string): SignInAnswer {
  return { status, headers: PAGE_HEADERS, body };
}

/** Redirects to the client with GET, also after a form (RFC 9700, section 4.12). */
export function redirect(location: string): SignInAnswer {
  const headers = { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' };
  return { status: 303, headers, body: null };
}

/** Answers the preflight request of a browser. */
export function preflight(methods: readonly string[]): SignInAnswer {
  const headers = {
    'access-control-allow-methods': methods.join(', '),
    'access-control-allow-headers':
      'authorization, content-type, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id',
    'access-control-expose-headers': 'WWW-Authenticate, Mcp-Session-Id',
    'access-control-max-age': '600',
  };
  return { status: 204, headers, body: null };
}
