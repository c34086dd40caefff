import { createHmac } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  canonical,
  linkChallenge,
  newOrder,
  type Order,
  type OrderResult,
  signInChallenge,
} from '../../src/console/order.ts';
import { Authenticator } from './authenticator.ts';
import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { ConsoleFiles } from './console.ts';
import { TemporaryDirectory } from './directories.ts';
import { freePort } from './ports.ts';
import { eventually } from './waiting.ts';

export interface Called {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
}

interface Call {
  readonly bearer?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

type Wish = { [Kind in Order['kind']]: Omit<Extract<Order, { kind: Kind }>, 'id' | 'at' | 'nonce'> }[Order['kind']];

/** The compiled `agent3 console serve`, with a user of its own where the test is root. To be disposed of. */
export class ConsoleServer implements AsyncDisposable {
  readonly #place = new TemporaryDirectory();
  readonly files: ConsoleFiles;
  readonly phone: Authenticator;
  #child: Bun.Subprocess<'ignore', 'ignore', 'pipe'> | undefined;

  private constructor(
    readonly port: number,
    /** As whom the agent runs. */
    agentUser: number,
  ) {
    this.files = new ConsoleFiles(undefined, agentUser);
    this.phone = new Authenticator(this.origin);
    chmodSync(this.#place.path, 0o755);
    mkdirSync(this.#place.join('run'), { mode: 0o750 });
    chownSync(this.#place.join('run'), agentUser, this.files.owner);
    chmodSync(this.#place.join('run'), 0o2750);
    mkdirSync(this.files.answers, { mode: 0o755 });
    // What the console makes has the group of the agent.
    for (const name of ['orders', 'root-orders', 'links', 'subscriptions'])
      chmodSync(join(this.directory, name), 0o2750);
  }

  static async start(agentUser: number): Promise<ConsoleServer> {
    const server = new ConsoleServer(await freePort(), agentUser);
    await server.restart();
    return server;
  }

  get origin(): string {
    return `http://localhost:${this.port}`;
  }

  get directory(): string {
    return this.files.directory;
  }

  /** For the agent, the console and root's terminal. */
  get settings() {
    return {
      ...this.files.settings,
      AGENT3_CONSOLE_SOCKET: this.#place.join('run/console.sock'),
      AGENT3_CONSOLE_ORIGIN: this.origin,
      AGENT3_CONSOLE_LISTEN: `127.0.0.1:${this.port}`,
    };
  }

  async restart(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.stop();
    const user = String(this.files.owner);
    const become = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups'];
    this.#child = Bun.spawn([...become, BINARY, 'console', 'serve'], {
      cwd: '/',
      env: { ...BASE_ENVIRONMENT, ...this.settings, ...settings },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await eventually(
      'the console listens',
      async () => (await this.call('hello').catch(() => undefined)) !== undefined,
    );
  }

  async stop(): Promise<void> {
    this.#child?.kill();
    await this.#child?.exited;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Any request. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { host: `localhost:${this.port}`, ...init.headers };
    return fetch(`http://127.0.0.1:${this.port}${path}`, { ...init, headers });
  }

  /** `POST /api/NAME`. */
  async call(name: string, body: unknown = {}, { bearer, headers = {} }: Call = {}): Promise<Called> {
    const response = await this.fetch(`/api/${name}`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }), ...headers },
    });
    return {
      status: response.status,
      body: (await response.json()) as Record<string, unknown>,
      headers: response.headers,
    };
  }

  /** Signs in with a passkey; returns the bearer. */
  async signIn(phone = this.phone): Promise<string> {
    const challenge = String((await this.call('hello')).body['challenge']);
    const { status, body: signedIn } = await this.call('sign-in', {
      challenge,
      assertion: phone.assert(await signInChallenge(challenge)),
    });
    if (status !== 200) throw new Error(`sign-in: ${status} ${JSON.stringify(signedIn)}`);
    return String(signedIn['bearer']);
  }

  /** Sends an order, signed where `phone` is given. */
  async order(wish: Wish, bearer: string, phone?: Authenticator): Promise<Called & { readonly result: OrderResult }> {
    const order = { ...newOrder(), ...wish } as Order;
    const signature = phone === undefined ? {} : { assertion: await phone.sign(order) };
    const called = await this.call('order', { order, ...signature }, { bearer });
    return { ...called, result: called.body as unknown as OrderResult };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.files[Symbol.dispose]();
    this.#place[Symbol.dispose]();
  }
}

/** What a phone answers to a link. */
export async function answerToLink(
  url: string,
  phone: Authenticator,
  { name = 'Pixel 9', bearer_sha256, secret }: { name?: string; bearer_sha256?: string; secret?: string } = {},
) {
  const [, link = '', own = ''] = /#link=([\w-]+)\.([\w-]+)$/.exec(url) ?? [];
  const registration = bearer_sha256 === undefined ? phone.register(await linkChallenge(secret ?? own)) : undefined;
  const body = { link, name, ...(registration === undefined ? { bearer_sha256 } : { registration }) };
  const mac = createHmac('sha256', secret ?? own)
    .update(canonical(body))
    .digest('base64url');
  return { ...body, mac };
}

/** `agent3 console link` as root runs it, on a terminal, which waits for a phone. */
export class LinkTerminal {
  readonly #child: Bun.Subprocess;
  #shown = '';

  constructor(settings: Readonly<Record<string, string>>, ...args: readonly string[]) {
    const decoder = new TextDecoder();
    this.#child = Bun.spawn([BINARY, 'console', 'link', ...args], {
      cwd: '/',
      env: { ...BASE_ENVIRONMENT, ...settings },
      terminal: {
        cols: 200,
        data: (_, bytes) => {
          this.#shown += decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  /** All that it has shown, without colours. */
  get shown(): string {
    return Bun.stripANSI(this.#shown).replaceAll('\r\n', '\n');
  }

  /** The link that it shows. */
  url(): Promise<string> {
    return this.find(/^(http\S+#link=\S+)$/m);
  }

  find(pattern: RegExp): Promise<string> {
    return eventually(`it shows ${pattern}`, () => pattern.exec(this.shown)?.[1]);
  }

  type(text: string): void {
    this.#child.terminal?.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }
}

/** Where `people.json` is. */
export function peopleFile({ directory }: ConsoleServer): string {
  return join(directory, 'people.json');
}
