import { readFileSync, writeFileSync } from 'node:fs';
import type { ReadableStreamDefaultReader } from 'node:stream/web';
import { type Agent, startAgent } from './agent.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { agent3, type Run } from './cli.ts';
import { TemporaryDirectory } from './directories.ts';
import type { Era } from './mcp.ts';
import { type HostKind, OAuthHost, type Tokens } from './oauth-host.ts';
import { freePort } from './ports.ts';
import { linesOf, type RecordLine } from './record.ts';
import { eventually, within } from './waiting.ts';

type Settings = Readonly<Record<string, string>>;

/** A host that has signed in. */
export interface SignedIn {
  readonly host: OAuthHost;
  readonly tokens: Tokens;
  /** What the owner's terminal said. */
  readonly terminal: readonly ConnectEvent[];
}

/** How a call is made. */
export interface CallOptions {
  readonly era?: Era;
  readonly tool?: string;
  readonly origin?: string;
}

/** What came of it. */
export interface Called {
  readonly status: number;
  readonly headers: Headers;
  /** Of the first block. */
  readonly text: string;
}

/** What `agent3 connect --json` says. */
export type ConnectEvent = Readonly<Record<string, unknown>>;

const TIMEOUT_MS = 15_000;

/** An agent that clients can sign in to, on this machine. Disposing of it ends it and removes its files. */
export class SignInAgent implements AsyncDisposable {
  private constructor(
    readonly agent: Agent,
    readonly files: TemporaryDirectory,
    /** What the owner's commands have in their environment. */
    readonly settings: Settings,
    readonly issuer: string,
  ) {}

  /** `before` are the words of a program that becomes the agent. */
  static async start(more: Settings = {}, before: readonly string[] = []): Promise<SignInAgent> {
    const files = new TemporaryDirectory();
    const port = more['AGENT3_PORT'] ?? String(await freePort());
    const issuer = `http://127.0.0.1:${port}`;
    const settings = {
      AGENT3_PORT: port,
      AGENT3_PUBLIC_URL: issuer,
      AGENT3_GRANT_KEY: Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url'),
      AGENT3_TOKENS_FILE: files.join('tokens.json'),
      AGENT3_AUDIT_FILE: files.join('audit.jsonl'),
      AGENT3_MAX_REQUESTS_PER_MINUTE: '100000',
      ...more,
    };
    // The owner of this file stays its owner.
    writeFileSync(settings.AGENT3_TOKENS_FILE, '{"version":1,"tokens":[]}', { mode: 0o600 });
    const agent = await startAgent(settings, before);
    return new SignInAgent(agent, files, { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir }, issuer);
  }

  /** Runs `agent3 connect --json`, as root does. */
  connect(...options: readonly string[]): Connecting {
    return this.connectWith({}, ...options);
  }

  /** The same with other settings than the agent has. */
  connectWith(other: Settings, ...options: readonly string[]): Connecting {
    return new Connecting({ ...this.settings, ...other }, options);
  }

  /** The URL that the owner pastes into a client. */
  get mcp(): string {
    return `${this.issuer}/mcp`;
  }

  /** Makes a grant at the terminal and signs in as a host does, which the owner keeps. */
  async signIn(kind: HostKind, name: string, ...options: readonly string[]): Promise<SignedIn> {
    await using terminal = this.connect('--name', name, '--client', kind.client, '--yes', ...options);
    const code = await terminal.code();
    const host = await OAuthHost.discover(kind, this.mcp);
    const tokens = await host.signIn(code);
    const exit = await terminal.ended();
    if (exit !== 0) throw new Error(`agent3 connect ended with ${exit}: ${terminal.stderr}`);
    return { host, tokens, terminal: terminal.events };
  }

  /** Calls a tool as hosts do; returns the HTTP status and the text of the answer. */
  async call(access: string, args: unknown = { cmd: 'echo signed in' }, options: CallOptions = {}): Promise<Called> {
    const { era = 'older', tool = 'shell', origin } = options;
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const params = { name: tool, arguments: args, ...(era === 'newer' && { _meta }) };
    const newer = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': tool };
    const response = await fetch(this.mcp, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${access}`,
        ...(era === 'newer' && newer),
        ...(origin !== undefined && { origin }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    });
    const body = (await response.json()) as { result?: { content: { text: string }[] } };
    return { status: response.status, headers: response.headers, text: body.result?.content[0]?.text ?? '' };
  }

  /** Runs one of the owner's commands. */
  owner(...args: readonly string[]): Promise<Run> {
    return agent3(args, this.settings);
  }

  /** The lines of the record. */
  get record(): readonly RecordLine[] {
    return linesOf(this.files.join('audit.jsonl'));
  }

  /** All that the record and the log hold, as text. */
  get written(): string {
    return readFileSync(this.files.join('audit.jsonl'), 'utf8') + JSON.stringify(this.agent.logs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}

/** The owner's terminal, while it waits for a client. Disposing of it presses Ctrl-C. */
export class Connecting implements AsyncDisposable {
  readonly #child: Bun.Subprocess<'pipe', 'pipe', 'pipe'>;
  readonly #output: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly events: ConnectEvent[] = [];
  readonly #read: Promise<void>;
  #taken = 0;
  stderr = '';

  constructor(settings: Settings, options: readonly string[]) {
    this.#child = Bun.spawn([BINARY, 'connect', '--json', ...options], {
      env: { ...BASE_ENVIRONMENT, ...settings },
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    this.#output = this.#child.stdout.getReader();
    this.#read = this.#collect();
  }

  /** Waits for an event of this kind. */
  event(kind: string): Promise<ConnectEvent> {
    const seen = () => this.events.find(({ event }) => event === kind);
    return eventually(`the event ${kind} (${this.stderr})`, seen, TIMEOUT_MS);
  }

  /** Waits for the next event, which has to be of this kind. */
  async next(kind: string): Promise<ConnectEvent> {
    const event = await eventually(`the next event, ${kind}`, () => this.events[this.#taken], TIMEOUT_MS);
    this.#taken++;
    if (event['event'] !== kind) throw new Error(`agent3 connect said ${JSON.stringify(event)}, not ${kind}`);
    return event;
  }

  /** Waits until it has written this for a person. */
  async says(text: string): Promise<void> {
    await eventually(`"${text}" in (${this.stderr})`, () => this.stderr.includes(text), TIMEOUT_MS);
  }

  /** The one-time code. */
  async code(): Promise<string> {
    return String((await this.event('code'))['code']);
  }

  /** Types a line. */
  async type(line: string): Promise<void> {
    this.#child.stdin.write(`${line}\n`);
    await this.#child.stdin.flush();
  }

  /** Reads no more of it, as when a pipe is closed. */
  leave(): Promise<void> {
    return this.#output.cancel();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The exit code, when all that it wrote was read. */
  async ended(): Promise<number> {
    const code = await within('the end of agent3 connect', this.#child.exited, TIMEOUT_MS);
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGINT');
    await this.ended();
  }

  async #collect(): Promise<void> {
    const errors = this.#collectErrors();
    let rest = '';
    const decoder = new TextDecoder();
    for (;;) {
      const { value, done } = await this.#output.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      this.events.push(...lines.map((line) => JSON.parse(line) as ConnectEvent));
    }
    await errors;
  }

  async #collectErrors(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stderr) this.stderr += decoder.decode(bytes, { stream: true });
  }
}
