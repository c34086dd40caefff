import type { Agent } from './agent.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { eventually } from './waiting.ts';

/** Longest that a client may take. */
const TIMEOUT_MS = 30_000;

/** What a client's run left behind, with exact bytes. */
export interface ClientRun {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** How a client is run. */
export interface ClientOptions {
  /** Default: none, `/dev/null`. */
  readonly stdin?: Uint8Array | 'pipe';
  readonly env?: Readonly<Record<string, string>>;
}

type Remote = Pick<Agent, 'url' | 'token'>;

/** What a client of `agent` has in its environment. */
export function clientEnvironment(agent: Remote): Record<string, string> {
  return { ...BASE_ENVIRONMENT, AGENT3_URL: agent.url, AGENT3_API_TOKEN: agent.token };
}

/** The executable as a client of an agent, while it runs. */
export class Client {
  readonly #child: Bun.Subprocess<Uint8Array | 'pipe' | 'ignore', 'pipe', 'pipe'>;
  readonly #seen = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  readonly #read: Promise<unknown>;

  constructor(agent: Remote, args: readonly string[], options: ClientOptions = {}) {
    this.#child = Bun.spawn([BINARY, ...args], {
      env: { ...clientEnvironment(agent), ...options.env },
      stdin: options.stdin ?? 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    this.#read = Promise.all([this.#collect('stdout'), this.#collect('stderr')]);
  }

  /** Resolves when this stream has `text`, with all that came until then. */
  async shows(text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<string> {
    await eventually(`${text} on ${stream}`, () => this.#seen[stream].includes(text));
    return this.#seen[stream].toString();
  }

  /** Writes to its standard input, which must be `pipe`. */
  async type(text: string): Promise<void> {
    this.#input.write(text);
    await this.#input.flush();
  }

  async endInput(): Promise<void> {
    await this.#input.end();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** How it has ended, with all that it wrote. */
  async ended(): Promise<ClientRun> {
    const code = await this.#child.exited;
    await this.#read;
    return { code, ...this.#seen };
  }

  get #input(): Bun.FileSink {
    const { stdin } = this.#child;
    if (stdin === undefined || typeof stdin === 'number') throw new Error('its input is no pipe');
    return stdin;
  }

  async #collect(stream: 'stdout' | 'stderr'): Promise<void> {
    for await (const chunk of this.#child[stream]) this.#seen[stream] = Buffer.concat([this.#seen[stream], chunk]);
  }
}

/** Runs the executable as a client of `agent` to its end. */
export function runClient(agent: Remote, args: readonly string[], options: ClientOptions = {}): Promise<ClientRun> {
  return new Client(agent, args, options).ended();
}

/** A run as text. */
export function textOf({ code, stdout, stderr }: ClientRun): { code: number; stdout: string; stderr: string } {
  return { code, stdout: stdout.toString(), stderr: stderr.toString() };
}
