import type { ClientKind } from '../access/client-kinds.ts';
import type { GrantKey } from '../access/grant.ts';

/** A program that asks to sign in. */
export interface Client {
  readonly id: string;
  readonly name: string;
  /** Its name is the maker's own: the agent knows the client, or where its answers go. */
  readonly isKnown: boolean;
  /** Where answers may go. */
  readonly redirects: readonly string[];
}

/** Every path of a program on the user's own computer. */
const ANY_LOOPBACK = 'http://127.0.0.1/*';

interface KnownClient {
  readonly name: string;
  readonly kind: ClientKind;
  readonly redirects: readonly string[];
}

/**
 * Clients whose documents need not be fetched: a server without a way out can be connected too, and so can it while a
 * document is broken. Every redirect is on the maker's own domain, or on the user's own computer.
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

/** An older form of ChatGPT's, one for each connector. */
const OLD_CHATGPT = /^https:\/\/chatgpt\.com\/oauth\/([\w-]{1,100})\/client\.json$/;

/** The client with this id, where the agent knows it. */
export function knownClient(id: string): Client | undefined {
  const known = Object.hasOwn(KNOWN, id) ? KNOWN[id] : undefined;
  if (known !== undefined) return { id, name: known.name, isKnown: true, redirects: known.redirects };
  const connector = OLD_CHATGPT.exec(id)?.[1];
  if (connector === undefined) return undefined;
  return { id, name: 'ChatGPT', isKnown: true, redirects: [`https://chatgpt.com/connector/oauth/${connector}`] };
}

/**
 * Redirects that tell which client it is: where each takes its answers, and nowhere else on its domain. Another page there
 * could lead on, to whoever sent the owner here.
 */
const KINDS_BY_REDIRECT: readonly (readonly [RegExp, ClientKind])[] = [
  [/^https:\/\/chatgpt\.com\/(?:connector_platform_oauth_redirect|connector\/oauth\/[\w-]+)$/, 'chatgpt'],
  [/^https:\/\/claude\.(?:ai|com)\/api\/mcp\/auth_callback$/, 'claude'],
  [/^https:\/\/vscode\.dev\/redirect$/, 'vscode'],
  [/^https:\/\/www\.cursor\.com\/agents\/mcp\/oauth\/callback$/, 'cursor'],
];

/** The one redirect by a scheme of its own (RFC 8252, section 7.1) that is taken: Cursor on the desktop has no other. */
const CURSOR_APP = 'cursor://anysphere.cursor-mcp/oauth/callback';

/** Whether an answer stays on the user's own computer. */
export function staysLocal(redirectUri: string): boolean {
  return redirectUri === CURSOR_APP || isLoopbackRedirect(redirectUri);
}

/** Programs on the user's own computer: which of them it is, nobody can prove. */
const LOCAL_KINDS: readonly ClientKind[] = ['claude-code', 'codex', 'cursor', 'vscode', 'other'];

/** The kinds of clients that this one may be, going by where its answer goes. */
export function kindsOf({ id }: Client, redirectUri: string): readonly ClientKind[] {
  const known = Object.hasOwn(KNOWN, id) ? KNOWN[id] : undefined;
  if (known !== undefined) return [known.kind];
  if (redirectUri === CURSOR_APP) return ['cursor'];
  if (isLoopbackRedirect(redirectUri)) return LOCAL_KINDS;
  return [KINDS_BY_REDIRECT.find(([form]) => form.test(redirectUri))?.[1] ?? 'other'];
}

const MAX_REDIRECT_CHARS = 512;

/** Whether an answer can be sent there: to a site over HTTPS, or to a program on the user's own computer. */
export function isRedirect(value: unknown): value is string {
  if (value === CURSOR_APP) return true;
  if (typeof value !== 'string' || value.length > MAX_REDIRECT_CHARS || !/^[\x21-\x7e]+$/.test(value)) return false;
  if (!URL.canParse(value) || value.includes('#') || value.includes('\\')) return false;
  const { protocol, username, password } = new URL(value);
  return username === '' && password === '' && (protocol === 'https:' || isLoopbackRedirect(value));
}

/** Whether an answer goes to a program on the user's own computer. */
function isLoopbackRedirect(redirectUri: string): boolean {
  return /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:[/?]|$)/.test(redirectUri);
}

/** Whether a client may have its answer sent there: exactly as it said, but for the port of a program (RFC 8252, 7.3). */
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

/** A name as the consent page shows it: one line, not too long. */
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

/** What a client that registers sent, and cannot be registered with. */
export class RegistrationFault extends Error {
  constructor(
    readonly code: 'invalid_redirect_uri' | 'invalid_client_metadata',
    message: string,
  ) {
    super(message);
  }
}

/**
 * Registers a client (RFC 7591): its id is the registration itself, sealed with the key, so nothing of a stranger's is
 * stored. Redirects that cannot be used are left out. Throws `RegistrationFault`.
 */
export function register(key: GrantKey, metadata: unknown): Client {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw new RegistrationFault('invalid_client_metadata', 'The body must be an object of JSON.');
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
    throw new RegistrationFault('invalid_client_metadata', 'This is too much: send fewer and shorter redirect_uris.');
  return registeredFrom(id, redirects, name);
}

/** A client that registered here; undefined for an id that was not made with this key. */
export function registeredClient(key: GrantKey, id: string): Client | undefined {
  const [, body = '', mac = ''] = /^r\.([\w-]{1,2000})\.([\w-]{43})$/.exec(id) ?? [];
  if (body === '' || !key.checks(mac, 'client', body)) return undefined;
  const { r, n } = JSON.parse(Buffer.from(body, 'base64url').toString()) as { r: string[]; n?: string };
  return registeredFrom(id, r, n ?? '');
}

function registeredFrom(id: string, redirects: readonly string[], name: string): Client {
  return { id, name, isKnown: false, redirects };
}
