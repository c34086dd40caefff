import { createHash, randomBytes } from 'node:crypto';
import { type Agent, startAgent } from './agent.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { TemporaryDirectory } from './directories.ts';
import { freePort } from './ports.ts';

/** An agent that clients can sign in at, with what `agent3 connect` needs beside it. */
export class SignInAgent implements AsyncDisposable {
  private constructor(
    readonly agent: Agent,
    readonly directory: TemporaryDirectory,
    readonly settings: Readonly<Record<string, string>>,
  ) {}

  static async start(more: Readonly<Record<string, string>> = {}): Promise<SignInAgent> {
    const directory = new TemporaryDirectory();
    const port = await freePort();
    const settings = {
      AGENT3_PORT: String(port),
      AGENT3_PUBLIC_URL: `http://127.0.0.1:${port}`,
      AGENT3_GRANT_KEY: randomBytes(32).toString('hex'),
      AGENT3_TOKENS_FILE: directory.join('tokens.json'),
      AGENT3_AUDIT_FILE: directory.join('audit.jsonl'),
      ...more,
    };
    return new SignInAgent(await startAgent(settings), directory, settings);
  }

  get url(): string {
    return this.agent.url;
  }

  /** The environment of programs that the owner runs. */
  get environment(): Readonly<Record<string, string>> {
    return { ...BASE_ENVIRONMENT, ...this.settings, AGENT3_SESSIONS_DIR: this.agent.sessionsDir };
  }

  /** Runs `agent3 connect --json` with these options until it shows its code; for `other` where they name no client. */
  async connect(...options: readonly string[]): Promise<Connecting> {
    const client = options.includes('--client') ? [] : ['--client', 'other'];
    const child = Bun.spawn([BINARY, 'connect', '--json', ...client, ...options], {
      env: this.environment,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const connecting = new Connecting(child);
    await connecting.next('code');
    return connecting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}

type Event = Readonly<Record<string, unknown>>;

/** `agent3 connect --json` under way. */
export class Connecting {
  readonly events: Event[] = [];
  readonly #lines: AsyncIterator<string>;

  constructor(readonly child: Bun.Subprocess<'pipe', 'pipe', 'pipe'>) {
    this.#lines = linesOf(child.stdout);
  }

  get code(): string {
    return String(this.events[0]?.['code']);
  }

  /** The next event, which has to be this one. */
  async next(name: string): Promise<Event> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`agent3 connect ended before ${name}: ${await this.child.stderr.text()}`);
    const event = JSON.parse(value) as Event;
    this.events.push(event);
    if (event['event'] !== name) throw new Error(`agent3 connect said ${value}, not ${name}`);
    return event;
  }

  /** Reads no more of it, as when a pipe is closed. */
  async leave(): Promise<void> {
    await this.#lines.return?.();
  }

  answer(line: string): void {
    this.child.stdin.write(`${line}\n`);
    this.child.stdin.flush();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    text += decoder.decode(piece, { stream: true });
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

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
