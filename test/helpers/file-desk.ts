import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from './agent.ts';
import { agent3 } from './cli.ts';
import { TemporaryDirectory } from './directories.ts';

/** A user of every Debian that owns nothing. */
const OTHER = { uid: 5, gid: 5 };

const BECOME = 'chown -R "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';

/** Who an agent runs as: only root can be tested as both. */
export type AgentKind = 'the user of the tests' | 'another user';
export const AGENT_KINDS: readonly AgentKind[] =
  process.geteuid?.() === 0 ? ['the user of the tests', 'another user'] : ['the user of the tests'];

/** One answer, with its status. */
export type Answered = Readonly<Record<string, unknown>> & { readonly http: number };

/**
 * An agent with a token for each profile, and a directory `work` that is its own and no temporary one: sandboxes have
 * a /tmp of their own. In the texts of profiles, `WORK` is replaced by its path.
 */
export class FileDesk implements AsyncDisposable {
  readonly place = new TemporaryDirectory(process.geteuid?.() === 0 ? '/srv' : process.env['HOME']);
  readonly work = this.place.join('work');
  /** Of the files of the agent. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly settings: Record<string, string>;
  readonly tokens: Record<string, string> = {};
  #agent: Agent | undefined;

  constructor(readonly kind: AgentKind) {
    this.owner = kind === 'another user' ? OTHER : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    chmodSync(this.place.path, 0o755);
    for (const name of ['work', 'own', 'profiles.d']) mkdirSync(this.place.join(name));
    this.settings = {
      AGENT3_TOKENS_FILE: this.place.join('own/tokens.json'),
      AGENT3_PROFILES_DIR: this.place.join('profiles.d'),
      AGENT3_AUDIT_FILE: this.place.join('own/audit.jsonl'),
    };
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new Error('the agent of this desk was not started');
    return this.#agent;
  }

  /** `around` are the words of a program that runs the agent: `unshare`. */
  async start(
    profiles: Readonly<Record<string, string>>,
    settings: Readonly<Record<string, string>> = {},
    around: readonly string[] = [],
  ): Promise<void> {
    for (const [name, text] of Object.entries(profiles)) {
      const file = join(this.place.join('profiles.d'), `${name}.toml`);
      if (text !== '') writeFileSync(file, text.replaceAll('WORK', this.work));
      await this.addToken(name, name);
    }
    const { uid, gid } = this.owner;
    if (this.kind === 'another user')
      Bun.spawnSync(['chown', '-R', `${uid}:${gid}`, this.place.join('own'), this.work]);
    const before = this.kind === 'another user' ? ['sh', '-c', BECOME, String(uid)] : [];
    this.#agent = await startAgent({ ...this.settings, ...settings }, [...around, ...before]);
  }

  async addToken(name: string, profile: string): Promise<void> {
    const { stdout } = await agent3(['token', 'create', name, '--profile', profile], this.settings);
    this.tokens[name] = stdout.trim();
  }

  /** Writes a file of the agent's user; returns its path. */
  put(name: string, content: string | Uint8Array, mode = 0o644): string {
    const path = join(this.work, name);
    writeFileSync(path, content);
    this.give(path);
    chmodSync(path, mode);
    return path;
  }

  /** Makes what is there the agent's user's. */
  give(path: string): void {
    if (this.kind === 'another user') chownSync(path, this.owner.uid, this.owner.gid);
  }

  /** Calls an operation by `POST /`, which answers with every field. */
  call(token: string, op: string, args: object): Promise<Answered> {
    return this.#post(token, '/', { op, args });
  }

  /** Calls an operation by its own route. */
  lean(token: string, op: string, args: object): Promise<Answered> {
    return this.#post(token, `/${op}`, args);
  }

  async #post(token: string, path: string, body: object): Promise<Answered> {
    const response = await fetch(`${this.agent.url}${path}`, {
      method: 'POST',
      headers: { 'x-auth-token': this.tokens[token] ?? '' },
      body: JSON.stringify(body),
    });
    return { http: response.status, ...((await response.json()) as object) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.[Symbol.asyncDispose]();
    this.place[Symbol.dispose]();
  }
}
