import { type Client, mayRedirect } from './clients.ts';
import { grantedScope, isResource } from './issuer.ts';

/** The request of a known client, with a checked redirect. */
export interface Asked {
  readonly client: Client;
  readonly redirectUri: string;
  readonly state: string | undefined;
  readonly challenge: string;
  readonly scope: string;
  /** The fields that the form sends again. */
  readonly fields: readonly (readonly [string, string])[];
}

/** An error that is shown on the page, without a redirect. */
export class PageFault extends Error {}

/** An error that the client gets by the redirect (RFC 6749, section 4.1.2.1). */
export class RedirectFault extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly client: Client,
    readonly redirectUri: string,
    readonly state: string | undefined,
  ) {
    super(message);
  }
}

/** Finds the client of an id. Throws `PageFault`. */
type FindClient = (id: string) => Promise<Client>;

/** Parameters that the server uses. A repeated one is ambiguous. */
const ONCE = [
  'client_id',
  'redirect_uri',
  'response_type',
  'response_mode',
  'state',
  'code_challenge',
  'code_challenge_method',
  'scope',
  'ui_locales',
] as const;

const MAX_STATE_CHARS = 4096;

/**
 * Parses the request of a client, and ignores unknown parameters. Throws `PageFault` until the client and its redirect are
 * known, then `RedirectFault`.
 */
export async function readAsked(parameters: URLSearchParams, issuer: string, find: FindClient): Promise<Asked> {
  const twice = ONCE.find((name) => parameters.getAll(name).length > 1);
  if (twice !== undefined) throw new PageFault(`${twice} is repeated.`);
  const clientId = parameters.get('client_id') ?? '';
  if (clientId === '') throw new PageFault('client_id is missing.');
  const client = await find(clientId);
  const redirectUri = parameters.get('redirect_uri') ?? '';
  if (!mayRedirect(client, redirectUri)) throw new PageFault('redirect_uri is not registered for this client.');
  const state = parameters.get('state') ?? undefined;
  const refuse = (code: string, message: string): never => {
    throw new RedirectFault(code, message, client, redirectUri, state?.slice(0, MAX_STATE_CHARS));
  };
  if ((state?.length ?? 0) > MAX_STATE_CHARS) refuse('invalid_request', `state has over ${MAX_STATE_CHARS} characters`);
  if (parameters.get('response_type') !== 'code') refuse('unsupported_response_type', 'response_type must be code');
  if ((parameters.get('response_mode') ?? 'query') !== 'query')
    refuse('invalid_request', 'response_mode must be query');
  if (parameters.get('code_challenge_method') !== 'S256')
    refuse('invalid_request', 'code_challenge_method must be S256 (PKCE)');
  const challenge = parameters.get('code_challenge') ?? '';
  if (!/^[\w-]{43}$/.test(challenge))
    refuse('invalid_request', 'code_challenge must be the Base64url of a SHA-256 (PKCE)');
  const resources = parameters.getAll('resource');
  if (!resources.every((resource) => isResource(issuer, resource)))
    refuse('invalid_target', `resource must be ${issuer}/mcp`);
  const known: readonly string[] = ONCE;
  const fields = [...parameters].filter(([name]) => known.includes(name) || name === 'resource');
  return { client, redirectUri, state, challenge, scope: grantedScope(parameters.get('scope') ?? ''), fields };
}

/** Returns the URL of an answer, with the issuer in it (RFC 9207). */
export function answerUrl(
  redirectUri: string,
  answer: Readonly<Record<string, string>>,
  state: string | undefined,
  issuer: string,
): string {
  const url = new URL(redirectUri);
  const all = { ...answer, ...(state !== undefined && { state }), iss: issuer };
  for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
  return url.href;
}
