import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ApprovalRequest } from '../../src/access/approval-request.ts';
import { type Agent, startAgent } from './agent.ts';
import type { Answer } from './answer.ts';
import { browserObstacle } from './browser.ts';
import { agent3 } from './cli.ts';
import { type Called, ConsoleServer, LinkTerminal } from './console-server.ts';
import { ensurePrograms } from './debian.ts';
import { TemporaryDirectory } from './directories.ts';
import { eventually } from './waiting.ts';

/** Commands that a person is asked about. */
const CAREFUL = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\nreason = "something is removed"\n';

/** Why the page cannot be tried here; undefined when it can. The console needs a user of its own. */
export function pageObstacle(): string | undefined {
  if (process.geteuid?.() !== 0) return 'only root can start a console with a user of its own';
  return ensurePrograms('setpriv').length > 0 ? 'there is no setpriv' : browserObstacle();
}

/** An agent of root and its console, both as executables. Disposing of it ends both. */
export class ConsoleHost implements AsyncDisposable {
  private constructor(
    readonly agent: Agent,
    readonly console: ConsoleServer,
    private readonly files: TemporaryDirectory,
    private readonly settings: Readonly<Record<string, string>>,
  ) {}

  static async start(more: Readonly<Record<string, string>> = {}): Promise<ConsoleHost> {
    const files = new TemporaryDirectory();
    const server = await ConsoleServer.start(0);
    const settings = {
      ...server.settings,
      AGENT3_APPROVALS_DIR: files.join('approvals'),
      AGENT3_PROFILES_DIR: files.join('profiles.d'),
      AGENT3_TOKENS_FILE: files.join('tokens.json'),
      AGENT3_AUDIT_FILE: files.join('audit.jsonl'),
      AGENT3_PROFILE: 'careful',
      AGENT3_MAX_REQUESTS_PER_MINUTE: '100000',
      ...more,
    };
    for (const name of ['approvals', 'profiles.d']) mkdirSync(files.join(name), { mode: 0o750 });
    writeFileSync(files.join('profiles.d/careful.toml'), CAREFUL);
    return new ConsoleHost(await startAgent(settings), server, files, settings);
  }

  get origin(): string {
    return this.console.origin;
  }

  /** A place in a directory of its own. */
  join(name: string): string {
    return this.files.join(name);
  }

  /** Runs `agent3 console link`. */
  openLink(...args: readonly string[]): LinkTerminal {
    return new LinkTerminal(this.settings, ...args);
  }

  /** Runs `agent3 console link`, hands its URL on, and answers the question. Returns what the terminal showed. */
  async link(use: (url: string) => Promise<unknown>, answer = 'y', ...args: readonly string[]): Promise<string> {
    const terminal = this.openLink(...args);
    await use(await terminal.url());
    await terminal.find(/(\[y\/N\])/);
    terminal.type(`${answer}\n`);
    await terminal.exited;
    return terminal.shown;
  }

  /** Asks for a command that needs approval; returns the session that waits. */
  async ask(cmd: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const { session, status } = await this.agent.shell({ cmd, ...more });
    if (status !== 'waiting') throw new Error(`${cmd} does not wait: ${status}`);
    return String(session);
  }

  /** The request of a session that waits. */
  requestOf(session: string): ApprovalRequest {
    return JSON.parse(readFileSync(`${this.agent.sessionsDir}/.approvals/${session}.json`, 'utf8'));
  }

  /** The answer of a session that waits or runs no more. */
  async ended(session: string): Promise<Answer> {
    return eventually('it has ended', async () => {
      const answer = await this.agent.read({ session, wait: 5 });
      return answer.status !== 'waiting' && answer.status !== 'running' && answer;
    });
  }

  /** Makes a token. */
  async newToken(name: string, profile = 'careful'): Promise<string> {
    return (await agent3(['token', 'create', name, '--profile', profile], this.settings)).stdout.trim();
  }

  /** Runs `shell` with a token; returns the HTTP status. */
  async shellWith(token: string, args: Readonly<Record<string, unknown>>): Promise<number> {
    const body = JSON.stringify({ op: 'shell', args });
    const { status } = await this.agent.request('/', { method: 'POST', headers: { 'x-auth-token': token }, body });
    return status;
  }

  /** Runs a command on a terminal, with a token that nobody is asked about. */
  async onTerminal(cmd: string, size = {}): Promise<void> {
    const token = await this.newToken('free', 'full');
    await eventually(
      'it runs',
      async () => (await this.shellWith(token, { cmd, pty: true, background: true, ...size })) === 200,
    );
  }

  /** Calls the console's API as anybody can. */
  api(name: string, body: unknown, bearer: string): Promise<Called> {
    return this.console.call(name, body, { bearer });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.console[Symbol.asyncDispose]();
    await this.agent[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}
