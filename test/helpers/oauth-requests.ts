import { createHash, randomBytes } from 'node:crypto';

/** A client as the tests play it. */
export interface TestClient {
  readonly id: string;
  readonly redirect: string;
}

export const LOCAL_REDIRECT = 'http://127.0.0.1:53682/callback';

/** Registers a client with these redirects. */
export async function registerClient(
  url: string,
  redirects: readonly string[],
  more: object = {},
): Promise<TestClient> {
  const response = await post(`${url}/oauth/register`, JSON.stringify({ redirect_uris: redirects, ...more }));
  const { client_id } = (await response.json()) as { client_id: string };
  return { id: client_id, redirect: redirects[0] ?? '' };
}

/** A verifier of PKCE and its challenge. */
export function pkce(): { readonly verifier: string; readonly challenge: string } {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** What a client asks `/oauth/authorize`. */
export function askedOf(url: string, client: TestClient, challenge: string): Record<string, string> {
  return {
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirect,
    code_challenge: challenge,
    code_challenge_method: 'S256',
    state: 'the state',
    resource: `${url}/mcp`,
  };
}

export function post(
  url: string,
  body: string | Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? body : new URLSearchParams(body),
    redirect: 'manual',
    headers,
  });
}

/** What an answer of the token endpoint holds. */
export type Tokens = Readonly<Record<string, unknown>> & {
  readonly access_token: string;
  readonly refresh_token: string;
};

/** Signs in with a code of `agent3 connect`: the consent page, then the tokens. */
export async function signIn(url: string, client: TestClient, code: string): Promise<Tokens> {
  const { verifier, challenge } = pkce();
  const consent = await post(`${url}/oauth/authorize`, { ...askedOf(url, client, challenge), code, decision: 'allow' });
  const location = consent.headers.get('location');
  if (location === null) throw new Error(`no consent: ${consent.status} ${await consent.text()}`);
  const given = new URL(location).searchParams.get('code') ?? '';
  const response = await exchange(url, client, given, verifier);
  if (response.status !== 200) throw new Error(`no tokens: ${response.status} ${await response.text()}`);
  return (await response.json()) as Tokens;
}

/** Exchanges an authorization code. */
export function exchange(url: string, client: TestClient, code: string, verifier: string): Promise<Response> {
  return post(`${url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: client.id,
    redirect_uri: client.redirect,
    code,
    code_verifier: verifier,
  });
}

/** Asks for new tokens. */
export function refresh(url: string, client: TestClient, token: string): Promise<Response> {
  return post(`${url}/oauth/token`, { grant_type: 'refresh_token', client_id: client.id, refresh_token: token });
}

/** Calls a tool over MCP. */
export function callTool(url: string, token: string, cmd: string): Promise<Response> {
  const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'shell', arguments: { cmd } } };
  return post(`${url}/mcp`, JSON.stringify(body), { authorization: `Bearer ${token}` });
}
