import { takesSignIns } from '../../access/grant.ts';
import { plainOrigin } from '../../lib/addresses.ts';
import { bad, type Found, good } from './finding.ts';

/** What a sign-in depends on. */
export interface SignInInput {
  readonly values: Readonly<Record<string, string>>;
  /** The name that Caddy serves on this machine; null: another one leads here. */
  readonly domain: string | null;
  /** Somebody has signed in, or is about to: then what keeps chats away is a fault. */
  readonly hasGrants: boolean;
}

/** Sends a request to the public URL, as a chat would. */
export type Send = (path: string, init?: RequestInit) => Promise<Response>;

const CHATS = ['https://chatgpt.com', 'https://claude.ai'];
const RESTART = 'systemctl restart agent3; if that does not help: agent3 install';
const PROXY =
  'the proxy in front of the agent must pass on every path and every header, also /.well-known/ and WWW-Authenticate';

/** Plays the sign-in of a chat against the public URL, up to the page on which the owner enters a code. */
export async function signInFinding(
  { values, domain, hasGrants }: SignInInput,
  sender: (issuer: string, isVerified: boolean) => Send = (issuer, isVerified) => sendTo(issuer, domain, isVerified),
): Promise<Found> {
  const issuer = plainOrigin(values['AGENT3_PUBLIC_URL'] ?? '');
  if (!issuer) return good('off, because AGENT3_PUBLIC_URL is not set');
  if (!takesSignIns(issuer))
    return bad(`${issuer} is not https, so clients cannot sign in`, 'agent3 install --domain NAME');
  if (!values['AGENT3_GRANT_KEY']) return bad('AGENT3_GRANT_KEY is not set', 'agent3 install (it makes one)');
  const verified = sender(issuer, true);
  const distrust = await unreached(verified);
  if (distrust !== undefined && hasGrants)
    return bad(distrust, 'chats need a certificate of a public authority, and a name that points here');
  const fault = await stumble(issuer, distrust === undefined ? verified : sender(issuer, false));
  if (fault !== undefined) return bad(...fault);
  return good(distrust === undefined ? `clients can sign in at ${issuer}/mcp` : `${distrust}, so chats cannot sign in`);
}

/** Why a chat does not reach the URL; undefined when it does. */
async function unreached(send: Send): Promise<string | undefined> {
  try {
    await send('/healthz');
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
    return `the public URL has no publicly trusted certificate (${code})`;
  }
}

/** The first thing that a chat stumbles on, and what to do; undefined: nothing. */
async function stumble(issuer: string, send: Send): Promise<readonly [found: string, advice: string] | undefined> {
  try {
    return (
      (await resourceFault(issuer, send)) ??
      (await serverFault(issuer, send)) ??
      (await challengeFault(issuer, send)) ??
      (await originFault(send)) ??
      (await consentFault(issuer, send))
    );
  } catch {
    return [`${issuer} does not answer`, 'systemctl status agent3; check that it is the URL of this server'];
  }
}

type Fault = readonly [found: string, advice: string] | undefined;

async function resourceFault(issuer: string, send: Send): Promise<Fault> {
  for (const path of ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource']) {
    const response = await send(path);
    if (response.status === 404) return [`the running agent accepts no sign-ins (${path} does not exist)`, RESTART];
    const { resource } = await jsonOf(response);
    if (resource !== `${issuer}/mcp`) return [`${path} is not that of ${issuer}`, PROXY];
    if (response.headers.get('access-control-allow-origin') !== '*') return [`${path} has lost its headers`, PROXY];
  }
  return undefined;
}

async function serverFault(issuer: string, send: Send): Promise<Fault> {
  const path = '/.well-known/oauth-authorization-server';
  const { issuer: named } = await jsonOf(await send(path));
  return named === issuer ? undefined : [`${path} is not that of ${issuer}`, PROXY];
}

async function challengeFault(issuer: string, send: Send): Promise<Fault> {
  const response = await send('/mcp', { method: 'POST', body: '{}' });
  const challenge = response.headers.get('www-authenticate') ?? '';
  if (response.status !== 401) return [`/mcp answers ${response.status} instead of 401`, PROXY];
  return challenge.includes(`resource_metadata="${issuer}/`)
    ? undefined
    : ['the answer of /mcp does not name the place to sign in', PROXY];
}

async function originFault(send: Send): Promise<Fault> {
  for (const origin of CHATS) {
    const { headers, status } = await send('/mcp', { method: 'OPTIONS', headers: { origin } });
    if (headers.get('access-control-allow-origin') !== origin)
      return [`a page of ${origin} may not use /mcp (${status})`, PROXY];
  }
  return undefined;
}

/** Of the example in RFC 7636: nobody signs in with it. */
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';

async function consentFault(issuer: string, send: Send): Promise<Fault> {
  const asked = new URLSearchParams({
    response_type: 'code',
    client_id: 'https://chatgpt.com/oauth/client.json',
    redirect_uri: 'https://chatgpt.com/connector_platform_oauth_redirect',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
    resource: `${issuer}/mcp`,
  });
  const response = await send(`/oauth/authorize?${asked}`);
  // Without a code that waits, there is no field for one.
  const isPage = response.status === 200 && (await response.text()).includes('name="decision"');
  return isPage ? undefined : [`the page for the code does not open (${response.status})`, PROXY];
}

async function jsonOf(response: Response): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await response.json()) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const TIMEOUT_MS = 10_000;

/** A name that Caddy serves here is asked for here: not every network leads back from within. */
export function sendTo(issuer: string, domain: string | null, isVerified: boolean): Send {
  const { host, hostname, protocol } = new URL(issuer);
  const isHere = host === domain;
  const origin = isHere ? `${protocol}//127.0.0.1` : issuer;
  return (path, init = {}) =>
    fetch(`${origin}${path}`, {
      ...init,
      headers: { ...init.headers, ...(isHere && { host }) },
      redirect: 'manual',
      tls: { rejectUnauthorized: isVerified, serverName: hostname },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    } as RequestInit);
}
