import { readdirSync, rmSync, statSync } from 'node:fs';
import { type Answer, type Reply, readReply } from './answer.ts';
import { BASE_ENVIRONMENT, BINARY, randomToken } from './binary.ts';
import { makeDirectory } from './directories.ts';
import { type LogLine, LogReader } from './logs.ts';
import { killProcessesOf } from './processes.ts';
import './look-user.ts';
import { within } from './waiting.ts';

type Settings = Readonly<Record<string, string>>;

/** The contract allows 10 s for a shutdown. */
const SHUTDOWN_TIMEOUT_MS = 12_000;

/**
 * Starts `dist/agent3 serve` in an empty directory on a free port and waits until it listens. `before` are the words of a
 * program that becomes it: `setpriv`, `unshare`.
 */
export async function startAgent(settings: Settings = {}, before: readonly string[] = []): Promise<Agent> {
  const agent = new Agent(settings, before);
  await agent.listening();
  return agent;
}

interface Launch {
  readonly child: Bun.Subprocess<'ignore', 'ignore', 'pipe'>;
  readonly log: LogReader;
}

/** The compiled agent as a process of its own. Disposing of it ends it, its commands and its files. */
export class Agent implements AsyncDisposable {
  readonly directory = makeDirectory();
  readonly sessionsDir = makeDirectory();
  url = '';
  token: string;
  #settings: Settings;
  #launch: Launch;

  constructor(
    settings: Settings,
    private readonly before: readonly string[] = [],
  ) {
    this.token = settings['AGENT3_API_TOKEN'] ?? randomToken();
    this.#settings = settings;
    this.#launch = this.#start();
  }

  get pid(): number {
    return this.#launch.child.pid;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** The log of the process that runs now. */
  get log(): LogReader {
    return this.#launch.log;
  }

  get logs(): readonly LogLine[] {
    return this.#launch.log.lines;
  }

  /** How the process that runs now will end. */
  get exited(): Promise<number> {
    return this.#launch.child.exited;
  }

  /** Resolves when the agent says on which URL it listens. */
  async listening(): Promise<void> {
    const line = await this.log.find('listening', (candidate) => candidate['msg'] === 'listening');
    this.url = String(line['url']);
  }

  /** Sends `{op, args}`. */
  call(op: string, args?: unknown): Promise<Reply> {
    return this.post(JSON.stringify({ op, args }));
  }

  /** Runs `shell` and returns the answer, which must be a 200. */
  async shell(args: Readonly<Record<string, unknown>>): Promise<Answer> {
    return this.#answer('shell', args);
  }

  /** Runs `read_session` and returns the answer, which must be a 200. */
  async read(args: Readonly<Record<string, unknown>>): Promise<Answer> {
    return this.#answer('read_session', args);
  }

  /** Posts any body with the token. */
  post(body: NonNullable<RequestInit['body']>, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.request('/', { method: 'POST', body, headers: { 'x-auth-token': this.token, ...headers } });
  }

  /** Sends a request as it is, without a token of its own. */
  async request(path: string, init: RequestInit = {}): Promise<Reply> {
    return readReply(await fetch(this.url + path, init));
  }

  signal(signal: NodeJS.Signals): void {
    this.#launch.child.kill(signal);
  }

  /** Sends SIGTERM; returns the exit code. Throws when the agent does not end in time. */
  async stop(): Promise<number> {
    this.signal('SIGTERM');
    return within('the shutdown', this.exited, SHUTDOWN_TIMEOUT_MS);
  }

  /** SIGKILL to the agent alone; its commands live on. */
  async kill9(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Starts the agent again on the same sessions; one that still runs is stopped first. */
  async restart(changed: Settings = {}): Promise<void> {
    if (this.#launch.child.exitCode === null && this.#launch.child.signalCode === null) await this.stop();
    this.#settings = { ...this.#settings, ...changed };
    this.token = changed['AGENT3_API_TOKEN'] ?? this.token;
    this.#launch = this.#start();
    await this.listening();
  }

  /** The ids of the sessions on disk. */
  sessionsOnDisk(): string[] {
    if (!statSync(this.sessionsDir, { throwIfNoEntry: false })?.isDirectory()) return [];
    return readdirSync(this.sessionsDir).filter((name) => /^[0-9a-f-]{36}$/.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9();
    for (const session of this.sessionsOnDisk()) killProcessesOf(session);
    rmSync(this.directory, { recursive: true, force: true });
    rmSync(this.sessionsDir, { recursive: true, force: true });
  }

  async #answer(op: string, args: Readonly<Record<string, unknown>>): Promise<Answer> {
    const reply = await this.call(op, args);
    if (reply.status !== 200) throw new Error(`${op} was answered ${reply.status}: ${reply.text.slice(0, 500)}`);
    return reply.body;
  }

  #start(): Launch {
    const child = Bun.spawn([...this.before, BINARY, 'serve'], {
      cwd: this.directory,
      env: {
        ...BASE_ENVIRONMENT,
        AGENT3_PORT: '0',
        AGENT3_SESSIONS_DIR: this.sessionsDir,
        ...this.#settings,
        AGENT3_API_TOKEN: this.token,
      },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
    });
    return { child, log: new LogReader(child.stderr) };
  }
}
