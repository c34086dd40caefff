import type { ClientKind } from '../access/client-kinds.ts';
import type { GrantKey } from '../access/grant.ts';

/** A program that asks to sign in. */
export interface Client {
  readonly id: string;
  readonly name: string;
  /** True when its name is certain: the agent knows the client, or its redirect. */
  readonly isKnown: boolean;
  /** Allowed redirects. */
  readonly redirects: readonly string[];
}

/** Any path of a program on the user's own computer. */
const ANY_LOOPBACK = 'http://127.0.0.1/*';

interface KnownClient {
  readonly name: string;
  readonly kind: ClientKind;
  readonly redirects: readonly string[];
}

/**
 * Known clients, whose documents need not be fetched, so that they work without outgoing connections and with a broken
 * document. Every redirect is on the maker's own domain, or on the user's own computer.
 */
const KNOWN: Readonly<Record<string, KnownClient>> = {
  'https://chatgpt.com/oauth/client.json': {
    name: 'ChatGPT',
    kind: 'chatgpt',
    redirects: ['https://chatgpt.com/connector_platform_oauth_redirect'],
  },
  'https://claude.ai/oauth/mcp-oauth-client-metadata': {
    name: 'Claude',
    kind: 'claude',
    redirects: ['https://claude.ai/api/mcp/auth_callback', 'https://claude.com/api/mcp/auth_callback'],
  },
  'https://claude.ai/oauth/claude-code-client-metadata': {
    name: 'Claude Code',
    kind: 'claude-code',
    redirects: ['http://localhost/callback', 'http://127.0.0.1/callback'],
  },
  'https://chatgpt.com/oauth/codex/client.json': { name: 'Codex', kind: 'codex', redirects: [ANY_LOOPBACK] },
  'https://vscode.dev/oauth/client-metadata.json': {
    name: 'VS Code',
    kind: 'vscode',
    redirects: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'],
  },
};

/** An older redirect of ChatGPT, one for each connector. */
const OLD_CHATGPT = /^https:\/\/chatgpt\.com\/oauth\/([\w-]{1,100})\/client\.json$/;

/** Returns the known client with this id, or undefined. */
export function knownClient(id: string): Client | undefined {
  const known = Object.hasOwn(KNOWN, id) ? KNOWN[id] : undefined;
  if (known !== undefined) return { id, name: known.name, isKnown: true, redirects: known.redirects };
  const connector = OLD_CHATGPT.exec(id)?.[1];
  if (connector === undefined) return undefined;
  return { id, name: 'ChatGPT', isKnown: true, redirects: [`https://chatgpt.com/connector/oauth/${connector}`] };
}

/**
 * Redirects that identify a client. Only these exact URLs: another page on the domain could redirect further, to the
 * person who sent the owner here.
 */
const KINDS_BY_REDIRECT: readonly (readonly [RegExp, ClientKind])[] = [
  [/^https:\/\/chatgpt\.com\/(?:connector_platform_oauth_redirect|connector\/oauth\/[\w-]+)$/, 'chatgpt'],
  [/^https:\/\/claude\.(?:ai|com)\/api\/mcp\/auth_callback$/, 'claude'],
  [/^https:\/\/vscode\.dev\/redirect$/, 'vscode'],
  [/^https:\/\/www\.cursor\.com\/agents\/mcp\/oauth\/callback$/, 'cursor'],
];

/** The only allowed redirect with its own scheme (RFC 8252, section 7.1): Cursor on the desktop has no other. */
const CURSOR_APP = 'cursor://anysphere.cursor-mcp/oauth/callback';

/** Returns true when an answer stays on the user's own computer. */
export function staysLocal(redirectUri: string): boolean {
  return redirectUri === CURSOR_APP || isLoopbackRedirect(redirectUri);
}

/** Programs on the user's own computer, which cannot be told apart. */
const LOCAL_KINDS: readonly ClientKind[] = ['claude-code', 'codex', 'cursor', 'vscode', 'other'];

/** Returns the kinds of clients that this one may be, by its redirect. */
export function kindsOf({ id }: Client, redirectUri: string): readonly ClientKind[] {
  const known = Object.hasOwn(KNOWN, id) ? KNOWN[id] : undefined;
  if (known !== undefined) return [known.kind];
  if (redirectUri === CURSOR_APP) return ['cursor'];
  if (isLoopbackRedirect(redirectUri)) return LOCAL_KINDS;
  return [KINDS_BY_REDIRECT.find(([form]) => form.test(redirectUri))?.[1] ?? 'other'];
}

const MAX_REDIRECT_CHARS = 512;

/** Returns true for a possible redirect: to a site over HTTPS, or to a program on the user's own computer. */
export function isRedirect(value: unknown): value is string {
  if (value === CURSOR_APP) return true;
  if (typeof value !== 'string' || value.length > MAX_REDIRECT_CHARS || !/^[\x21-\x7e]+$/.test(value)) return false;
  if (!URL.canParse(value) || value.includes('#') || value.includes('\\')) return false;
  const { protocol, username, password } = new URL(value);
  return username === '' && password === '' && (protocol === 'https:' || isLoopbackRedirect(value));
}

/** Returns true when an answer goes to a program on the user's own computer. */
function isLoopbackRedirect(redirectUri: string): boolean {
  return /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:[/?]|$)/.test(redirectUri);
}

/** Returns true when a client registered this redirect: exactly, but for the port of a program (RFC 8252, 7.3). */
export function mayRedirect({ redirects }: Client, redirectUri: string): boolean {
  if (!isRedirect(redirectUri)) return false;
  if (redirects.includes(redirectUri)) return true;
  if (!isLoopbackRedirect(redirectUri)) return false;
  return redirects.some(
    (one) => one === ANY_LOOPBACK || (isLoopbackRedirect(one) && withoutPort(one) === withoutPort(redirectUri)),
  );
}

function withoutPort(url: string): string {
  const plain = new URL(url);
  plain.port = '';
  return plain.href;
}

/** Returns a name for the consent page: one line, not too long. */
export function clientName(value: unknown, fallback: string): string {
  if (typeof value !== 'string') return fallback;
  const name = value
    .toWellFormed()
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim();
  return name === '' ? fallback : name.slice(0, 64).toWellFormed();
}

const MAX_REDIRECTS = 10;
const MAX_ID_CHARS = 2000;

/** The registration of a client is not valid. */
export class RegistrationFault extends Error {
  constructor(
    readonly code: 'invalid_redirect_uri' | 'invalid_client_metadata',
    message: string,
  ) {
    super(message);
  }
}

/**
 * Registers a client (RFC 7591). Its id is the registration itself, sealed with the key, so that nothing is stored.
 * Redirects that cannot be used are left out. Throws `RegistrationFault`.
 */
export function register(key: GrantKey, metadata: unknown): Client {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw new RegistrationFault('invalid_client_metadata', 'The body must be a JSON object.');
  const { redirect_uris: sent, client_name } = metadata as Record<string, unknown>;
  const redirects = Array.isArray(sent) ? [...new Set(sent.filter(isRedirect))].slice(0, MAX_REDIRECTS) : [];
  if (redirects.length === 0)
    throw new RegistrationFault(
      'invalid_redirect_uri',
      'redirect_uris needs an https URL, or an http URL on localhost or 127.0.0.1, without a fragment.',
    );
  const name = clientName(client_name, '');
  const body = Buffer.from(JSON.stringify({ r: redirects, ...(name !== '' && { n: name }) })).toString('base64url');
  const id = `r.${body}.${key.mac('client', body)}`;
  if (id.length > MAX_ID_CHARS)
    throw new RegistrationFault(
      'invalid_client_metadata',
      'The registration is too long: send fewer and shorter redirect_uris.',
    );
  return registeredFrom(id, redirects, name);
}

/** Returns a client that registered here; undefined for an id that was not made with this key. */
export function registeredClient(key: GrantKey, id: string): Client | undefined {
  const [, body = '', mac = ''] = /^r\.([\w-]{1,2000})\.([\w-]{43})$/.exec(id) ?? [];
  if (body === '' || !key.checks(mac, 'client', body)) return undefined;
  const { r, n } = JSON.parse(Buffer.from(body, 'base64url').toString()) as { r: string[]; n?: string };
  return registeredFrom(id, r, n ?? '');
}

function registeredFrom(id: string, redirects: readonly string[], name: string): Client {
  return { id, name, isKnown: false, redirects };
}
