import * as oauth from 'oauth4webapi';

/** Where a client's program or site listens, and how it speaks: what is known of the hosts, one line each. */
export interface HostKind {
  /** Of `agent3 connect --client`. */
  readonly client: string;
  /** The URL of its own document; undefined for one that registers. */
  readonly clientId?: string;
  readonly redirect: string;
  /** Registers with these. */
  readonly registers?: readonly string[];
  readonly scope?: string;
  /** What it sends besides to the page of the server. */
  readonly more?: Readonly<Record<string, string>>;
  /** Its pages are at, where its requests come from a browser. */
  readonly origin?: string;
}

/** What each host sends, as far as it is known from public pages. */
export const HOSTS = {
  chatgpt: {
    client: 'chatgpt',
    clientId: 'https://chatgpt.com/oauth/client.json',
    redirect: 'https://chatgpt.com/connector_platform_oauth_redirect',
    more: { ui_locales: 'es-ES en', prompt: 'consent' },
    origin: 'https://chatgpt.com',
  },
  'chatgpt, one document a connector': {
    client: 'chatgpt',
    clientId: 'https://chatgpt.com/oauth/asdk_app_0a1b2c/client.json',
    redirect: 'https://chatgpt.com/connector/oauth/asdk_app_0a1b2c',
    more: { ui_locales: 'en-US' },
    origin: 'https://chatgpt.com',
  },
  claude: {
    client: 'claude',
    clientId: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
    redirect: 'https://claude.ai/api/mcp/auth_callback',
    scope: ' offline_access',
    origin: 'https://claude.ai',
  },
  'claude.com': {
    client: 'claude',
    clientId: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
    redirect: 'https://claude.com/api/mcp/auth_callback',
    scope: 'agent3 offline_access',
    origin: 'https://claude.com',
  },
  'claude, registered': {
    client: 'claude',
    redirect: 'https://claude.ai/api/mcp/auth_callback',
    registers: ['https://claude.ai/api/mcp/auth_callback'],
  },
  'claude code': {
    client: 'claude-code',
    clientId: 'https://claude.ai/oauth/claude-code-client-metadata',
    redirect: 'http://localhost:53682/callback',
  },
  codex: {
    client: 'codex',
    clientId: 'https://chatgpt.com/oauth/codex/client.json',
    redirect: 'http://127.0.0.1:1455/callback',
  },
  'vs code': {
    client: 'vscode',
    clientId: 'https://vscode.dev/oauth/client-metadata.json',
    redirect: 'http://127.0.0.1:33418/',
  },
  'vscode.dev': {
    client: 'vscode',
    clientId: 'https://vscode.dev/oauth/client-metadata.json',
    redirect: 'https://vscode.dev/redirect',
  },
  cursor: {
    client: 'cursor',
    redirect: 'http://localhost:8787/callback',
    registers: ['cursor://anysphere.cursor-mcp/oauth/callback', 'http://localhost:8787/callback'],
  },
  other: {
    client: 'other',
    redirect: 'https://mcp.example.org/callback',
    registers: ['https://mcp.example.org/callback'],
  },
} as const satisfies Readonly<Record<string, HostKind>>;

/** The servers of the tests speak HTTP. */
const INSECURE = { [oauth.allowInsecureRequests]: true } as const;

/** What a host asks for with a browser, until the answer is back. */
export interface Asking {
  readonly url: URL;
  readonly verifier: string;
  readonly state: string;
}

/** Tokens, as a host keeps them. */
export interface Tokens {
  readonly access: string;
  readonly refresh: string;
}

/** A host that signs in to a server as the strict library has it. */
export class OAuthHost {
  private constructor(
    readonly kind: HostKind,
    readonly resource: URL,
    readonly server: oauth.AuthorizationServer,
    readonly client: oauth.Client,
  ) {}

  /** Finds the server of `/mcp` as the specification says: by what it answers to a request without a token. */
  static async discover(kind: HostKind, mcp: string): Promise<OAuthHost> {
    const refused = await fetch(mcp, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(kind.origin !== undefined && { origin: kind.origin }) },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    });
    const challenge = refused.headers.get('www-authenticate') ?? '';
    const [, metadata] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
    if (refused.status !== 401 || metadata === undefined)
      throw new Error(`no challenge: ${refused.status} ${challenge}`);
    const resource = new URL(mcp);
    const found = await oauth.processResourceDiscoveryResponse(resource, await fetch(metadata));
    const issuer = new URL(found.authorization_servers?.[0] ?? '');
    const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...INSECURE });
    const server = await oauth.processDiscoveryResponse(issuer, answer);
    return new OAuthHost(kind, resource, server, { client_id: kind.clientId ?? (await register(server, kind)) });
  }

  /** The URL that the host opens in the owner's browser. */
  async ask(more: Readonly<Record<string, string | undefined>> = {}): Promise<Asking> {
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const url = new URL(this.server.authorization_endpoint ?? '');
    const { scope } = this.kind;
    const parameters: Readonly<Record<string, string | undefined>> = {
      response_type: 'code',
      client_id: this.client.client_id,
      redirect_uri: this.kind.redirect,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      resource: this.resource.href,
      scope,
      ...this.kind.more,
      ...more,
    };
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    return { url, verifier, state };
  }

  /** Takes the answer from the browser to its tokens. Throws what the library finds wrong with it. */
  async exchange(
    asking: Asking,
    answer: URL,
    changed: { readonly resource?: string; readonly redirect?: string; readonly verifier?: string } = {},
  ): Promise<Tokens> {
    const { server, client } = this;
    const parameters = oauth.validateAuthResponse(server, client, answer, asking.state);
    const sent = { resource: this.resource.href, redirect: this.kind.redirect, verifier: asking.verifier, ...changed };
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      oauth.None(),
      parameters,
      sent.redirect,
      sent.verifier,
      { additionalParameters: { resource: sent.resource }, ...INSECURE },
    );
    requireNoStore(response);
    return tokensOf(await oauth.processAuthorizationCodeResponse(server, client, response));
  }

  /** New tokens for a refresh token. */
  async refresh(refresh: string): Promise<Tokens> {
    const { server, client } = this;
    const response = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refresh, {
      additionalParameters: { resource: this.resource.href },
      ...INSECURE,
    });
    requireNoStore(response);
    return tokensOf(await oauth.processRefreshTokenResponse(server, client, response));
  }

  async revoke(token: string): Promise<void> {
    const response = await oauth.revocationRequest(this.server, this.client, oauth.None(), token, INSECURE);
    await oauth.processRevocationResponse(response);
  }

  /** Signs in with the code of a terminal, from the first page to the tokens. */
  async signIn(code: string): Promise<Tokens> {
    const asking = await this.ask();
    return this.exchange(asking, await allow(asking.url, code));
  }
}

async function register(server: oauth.AuthorizationServer, { registers = [], client }: HostKind): Promise<string> {
  const metadata = {
    client_name: client,
    redirect_uris: [...registers],
    // Claude asks for one with a secret; the server says what it gave.
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  };
  const response = await oauth.dynamicClientRegistrationRequest(server, metadata, INSECURE);
  const registered = await oauth.processDynamicClientRegistrationResponse(response);
  if (registered['token_endpoint_auth_method'] !== 'none') throw new Error('it was registered with a secret');
  return registered.client_id;
}

function requireNoStore({ headers }: Response): void {
  if (headers.get('cache-control') !== 'no-store') throw new Error('tokens may be stored on the way');
}

function tokensOf({ access_token, refresh_token, token_type, expires_in }: oauth.TokenEndpointResponse): Tokens {
  if (token_type !== 'bearer' || expires_in === undefined || refresh_token === undefined)
    throw new Error('a token of another kind');
  return { access: access_token, refresh: refresh_token };
}

/** The form of a page: where it goes, and what it sends besides what a person types. */
export interface ConsentForm {
  readonly action: URL;
  readonly fields: readonly (readonly [string, string])[];
}

/** Reads the form of a page at `url`. Throws for a page without one. */
export function formOf(html: string, url: URL): ConsentForm {
  const fields: (readonly [string, string])[] = [];
  let action: string | undefined;
  new HTMLRewriter()
    .on('form', {
      element: (form) => {
        action = form.getAttribute('action') ?? '';
      },
    })
    .on('input[type=hidden]', {
      element: (input) => {
        fields.push([input.getAttribute('name') ?? '', decoded(input.getAttribute('value') ?? '')]);
      },
    })
    .transform(html);
  if (action === undefined) throw new Error(`a page without a form: ${html.slice(0, 2000)}`);
  return { action: new URL(decoded(action), url), fields };
}

/** HTML of an attribute as text. */
function decoded(value: string): string {
  const names: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" };
  return value.replace(/&(#?\w+);/g, (whole, name) => names[name] ?? whole);
}

/** What a person does in a browser: loads the page, types the code, presses a button. Returns the form's answer. */
export async function submit(
  url: URL,
  code: string,
  decision: 'allow' | 'deny' = 'allow',
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const page = await fetch(url, { headers: { 'accept-language': 'en', ...headers }, redirect: 'manual' });
  const { action, fields } = formOf(await page.text(), url);
  const body = new URLSearchParams();
  for (const [name, value] of [...fields, ['code', code], ['decision', decision]] as const) body.append(name, value);
  // As a browser sends it from a page that sends no referrer, or from a sandbox.
  return fetch(action, { method: 'POST', body, headers: { origin: 'null', ...headers }, redirect: 'manual' });
}

/** The same, where the code is taken: returns where the browser is sent. */
export async function allow(url: URL, code: string): Promise<URL> {
  const response = await submit(url, code);
  const location = response.headers.get('location');
  if (![302, 303].includes(response.status) || location === null)
    throw new Error(`not allowed: ${response.status} ${await response.text()}`);
  return new URL(location);
}

/** The fields of an answer in JSON. */
export async function fieldsOf(response: Response): Promise<Readonly<Record<string, unknown>>> {
  return (await response.json()) as Record<string, unknown>;
}
