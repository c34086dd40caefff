import { noteNothing } from '../http/auth.ts';
import type { HttpExchange } from '../http/exchange.ts';
import type { SignInAnswer } from '../http/sign-in.ts';
import { Unauthorized } from '../lib/errors.ts';
import { json, refusal } from './answers.ts';
import { isDocumentUrl } from './client-document.ts';
import { RegistrationFault, register, registeredClient } from './clients.ts';
import type { ConnectDeps } from './deps.ts';
import { isResource } from './issuer.ts';
import { type Issued, TokenFault, WrongSecret } from './tokens.ts';

/** The routes that clients call: for tokens, to register, to sign out. */
export class TokenRoutes {
  constructor(private readonly deps: ConnectDeps) {}

  /** RFC 6749, sections 4.1.3 and 6. Throws `MachineRefused`, `GuessingRefused`. */
  async token({ address }: HttpExchange, read: () => Promise<string>): Promise<SignInAnswer> {
    try {
      return json(200, this.#issue(new URLSearchParams(await read()), address));
    } catch (error) {
      if (!(error instanceof TokenFault)) throw error;
      return refusal(error.code === 'invalid_client' ? 401 : 400, error.code, error.message);
    }
  }

  #issue(parameters: URLSearchParams, address: string): Issued {
    for (const name of new Set(parameters.keys()))
      if (name !== 'resource' && parameters.getAll(name).length > 1)
        throw new TokenFault('invalid_request', `${name.slice(0, 40)} is repeated.`);
    const clientId = required(parameters, 'client_id');
    // A document is not fetched again, because the grant knows its client.
    if (registeredClient(this.deps.key, clientId) === undefined && !isDocumentUrl(clientId))
      throw new TokenFault('invalid_client', 'This server does not know client_id: register again.');
    if (!parameters.getAll('resource').every((resource) => isResource(this.deps.issuer, resource)))
      throw new TokenFault('invalid_target', `resource must be ${this.deps.issuer}/mcp.`);
    const bearer = { clientId, address };
    const { tokens } = this.deps;
    switch (required(parameters, 'grant_type')) {
      case 'authorization_code': {
        const code = required(parameters, 'code');
        const verifier = required(parameters, 'code_verifier');
        const redirectUri = parameters.get('redirect_uri') ?? undefined;
        return this.#unguessed(address, () => tokens.exchange({ code, verifier, redirectUri, ...bearer }));
      }
      case 'refresh_token': {
        const token = required(parameters, 'refresh_token');
        return this.#unguessed(address, () => tokens.refresh(token, bearer));
      }
      default:
        throw new TokenFault('unsupported_grant_type', 'grant_type must be authorization_code or refresh_token.');
    }
  }

  /** Counts an unknown code or token as guessing. Throws what `issue` throws, and `GuessingRefused`. */
  #unguessed(address: string, issue: () => Issued): Issued {
    const { guessing, strangers } = this.deps;
    try {
      return guessing.attempt(address, () => wrongAsUnauthorized(issue), noteNothing);
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      strangers.count('wrong tokens');
      throw new WrongSecret();
    }
  }

  /** RFC 7591. */
  async register(read: () => Promise<string>): Promise<SignInAnswer> {
    const { key, strangers, clock } = this.deps;
    strangers.count('registrations');
    try {
      const { id, name, redirects } = register(key, parseJson(await read()));
      return json(201, {
        client_id: id,
        client_id_issued_at: Math.floor(clock.now() / 1000),
        ...(name !== '' && { client_name: name }),
        redirect_uris: redirects,
        // Whatever it asked for: a secret is useless for a client that anyone can register.
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      });
    } catch (error) {
      if (!(error instanceof RegistrationFault)) throw error;
      return refusal(400, error.code, error.message);
    }
  }

  /** RFC 7009: an unknown token counts as revoked. */
  async revoke({ address }: HttpExchange, read: () => Promise<string>): Promise<SignInAnswer> {
    const [token, ...more] = new URLSearchParams(await read()).getAll('token');
    if (token === undefined || more.length > 0) return refusal(400, 'invalid_request', 'token must be sent once.');
    this.deps.tokens.revoke(token, address);
    return { status: 200, headers: { 'cache-control': 'no-store' }, body: null };
  }
}

function required(parameters: URLSearchParams, name: string): string {
  const value = parameters.get(name) ?? '';
  if (value === '') throw new TokenFault('invalid_request', `${name} is missing.`);
  return value;
}

function wrongAsUnauthorized(issue: () => Issued): Issued {
  try {
    return issue();
  } catch (error) {
    throw error instanceof WrongSecret ? new Unauthorized() : error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RegistrationFault('invalid_client_metadata', 'The body must be a JSON object.');
  }
}
