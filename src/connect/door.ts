import type { HttpExchange } from '../http/exchange.ts';
import { Buckets } from '../http/limiters.ts';
import type { SignInAnswer, SignInDoor } from '../http/sign-in.ts';
import { networkOf } from '../lib/addresses.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { json, preflight } from './answers.ts';
import { Bodies } from './bodies.ts';
import { ClientDocuments } from './client-document.ts';
import { ConsentRoute } from './consent.ts';
import type { ConnectDeps } from './deps.ts';
import { resourceMetadata, SCOPE, serverMetadata } from './issuer.ts';
import { TokenRoutes } from './token-routes.ts';

/** Most requests of one network in a minute. */
const REQUESTS_PER_MINUTE = 600;

const CONSENT_PATH = '/oauth/authorize';

interface Route {
  readonly methods: readonly string[];
  answer(exchange: HttpExchange, read: () => Promise<string>): SignInAnswer | Promise<SignInAnswer>;
}

/** The sign-in of MCP clients by OAuth 2.1, for an agent whose owner runs `agent3 connect`. */
export class ConnectDoor implements SignInDoor {
  readonly routes: ReadonlyMap<string, readonly string[]>;
  readonly challenge: string;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #rate: Buckets;
  readonly #bodies = new Bodies();

  constructor(deps: ConnectDeps, documents = new ClientDocuments(deps.clock)) {
    const { issuer, clock } = deps;
    this.#rate = new Buckets(REQUESTS_PER_MINUTE, clock);
    this.challenge = `resource_metadata="${issuer}/.well-known/oauth-protected-resource/mcp", scope="${SCOPE}"`;
    const consent = new ConsentRoute(deps, documents);
    const tokens = new TokenRoutes(deps);
    const resource: Route = { methods: ['GET', 'OPTIONS'], answer: () => json(200, resourceMetadata(issuer)) };
    const server: Route = { methods: ['GET', 'OPTIONS'], answer: () => json(200, serverMetadata(issuer)) };
    const posted = (answer: Route['answer']): Route => ({ methods: ['POST', 'OPTIONS'], answer });
    this.#routes = new Map<string, Route>([
      ['/.well-known/oauth-protected-resource', resource],
      ['/.well-known/oauth-protected-resource/mcp', resource],
      ['/.well-known/oauth-authorization-server', server],
      ['/.well-known/oauth-authorization-server/mcp', server],
      ['/.well-known/openid-configuration', server],
      [CONSENT_PATH, { methods: ['GET', 'POST'], answer: (exchange, read) => consent.answer(exchange, read) }],
      ['/oauth/token', posted((exchange, read) => tokens.token(exchange, read))],
      ['/oauth/register', posted((_, read) => tokens.register(read))],
      ['/oauth/revoke', posted((exchange, read) => tokens.revoke(exchange, read))],
    ]);
    this.routes = new Map([...this.#routes].map(([path, { methods }]) => [path, methods]));
  }

  /** These have no cookie or session, so every page may read them. The consent page may not be read by others. */
  headersAt(path: string): Readonly<Record<string, string>> {
    return path === CONSENT_PATH ? {} : { 'access-control-allow-origin': '*' };
  }

  async answer(exchange: HttpExchange, read: () => Promise<string>): Promise<SignInAnswer> {
    const route = this.#routes.get(exchange.path);
    if (route === undefined) throw new Error(`there is nothing at ${exchange.path}`);
    const from = networkOf(exchange.address);
    const seconds = this.#rate.consume(from, 1);
    if (seconds > 0)
      throw new TooManyRequests(seconds, `Too many requests from this network. Wait ${seconds} seconds.`);
    if (exchange.method === 'OPTIONS') return preflight(route.methods);
    return route.answer(exchange, () => this.#bodies.read(from, read));
  }
}
