import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Followers } from '../calls/follow.ts';
import { type AppDeps, createApp } from '../http/app.ts';
import { GuessingLimiter, type MoreTokens, slowDownGuessing, tokens } from '../http/auth.ts';
import { CallLimiter, RateLimiter } from '../http/limiters.ts';
import { type Gauges, Metrics } from '../http/metrics.ts';
import { AccessLog } from '../http/respond.ts';
import { systemClock } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { mcpDoor } from '../mcp/door.ts';
import { allOperations } from '../operations/index.ts';
import type { Operation } from '../operations/operation.ts';
import type { Deps } from '../server/deps.ts';
import { outputOnDisk } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { Config } from '../settings/config.ts';
import { version } from '../version.ts';
import type { Fleet } from './fleet.ts';
import type { Logger } from './log.ts';
import type { Listening } from './shutdown.ts';
import type { SignIn } from './sign-in.ts';
import { StartupFault } from './startup-fault.ts';

/** Bun closes a connection that is silent for longer, so it must exceed the longest answer (255 s is Bun's maximum). */
const IDLE_MARGIN_SECONDS = 30;

/** Pause between attempts to listen, and after how many of them it is logged: a second. */
const AGAIN_MS = 10;
const TOLD_AFTER = 100;

type Server = NonNullable<ReturnType<typeof createApp>['server']>;

/** The agent's socket, and the server behind it. */
export class Listener implements Listening {
  readonly #config: Config;
  readonly #deps: AppDeps;
  readonly #logger: Logger;
  readonly #transfers: Deps['transfers'];
  /** The operations of this agent itself, also for a hub. */
  readonly #own: readonly Operation[];
  /** The last one listens. Those before it serve connections from before a reload. */
  #servers: Server[] = [];
  #reloaded: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(
    deps: Deps,
    moreTokens: MoreTokens | undefined,
    signIn: SignIn | undefined,
    private readonly fleet: Fleet,
  ) {
    this.#config = deps.config;
    this.#logger = deps.logger;
    this.#transfers = deps.transfers;
    const metrics = new Metrics(version, gaugesOf(deps));
    const newLimiter = () => new GuessingLimiter(systemClock, (address, known) => deps.trail.login(address, known));
    const guessing = newLimiter();
    deps.commands.watchEnds(metrics.commandEnded);
    const operations = allOperations(deps);
    this.#own = operations;
    const shared = {
      operations: fleet.operations(operations),
      followers: new Followers(deps, fleet.away),
      auth: slowDownGuessing(tokens(deps.config.token, moreTokens), guessing),
      mcpAuth: slowDownGuessing(tokens(deps.config.token, moreTokens, signIn?.tokens), guessing),
      signIn: signIn?.door(guessing),
      rateLimiter: new RateLimiter(deps.config.maxRequestsPerMinute, systemClock),
      calls: new CallLimiter(),
      turns: deps.turns,
      links: fleet.links ?? { open: (secret: string) => deps.transfers.open(secret) },
      accessLog: new AccessLog(deps.logger, systemClock),
      shutdown: deps.shutdown,
      freeze: deps.freeze,
      replySeconds: deps.config.replySeconds,
      maxReplyChars: deps.config.maxReplyChars,
      trustedProxies: deps.config.trustedProxies,
      publicUrl: deps.config.publicUrl,
      allowedOrigins: deps.config.allowedOrigins,
      version,
      metrics,
      metricsAuth:
        deps.config.metricsToken === undefined
          ? undefined
          : slowDownGuessing(tokens(deps.config.metricsToken), newLimiter()),
    };
    this.#deps = { ...shared, mcp: mcpDoor({ ...shared, access: deps.access }) };
  }

  /** Begins to listen. Throws with what to do when it cannot. */
  open(): void {
    const { host, port } = this.#config;
    try {
      this.#listen(port, this.#readTls());
    } catch (error) {
      throw new StartupFault(1, error instanceof TlsFault ? error.message : listenFault(host, port, error));
    }
    this.fleet.start({ ...this.#deps, operations: this.#own });
  }

  /** Reads certificate and key again. Rejects and keeps the old ones when they cannot be used. */
  reload(): Promise<void> {
    this.#reloaded = this.#reloaded.catch(() => {}).then(() => this.#reload());
    return this.#reloaded;
  }

  async #reload(): Promise<void> {
    const tls = this.#readTls();
    const current = this.#current;
    if (tls === undefined || this.#isStopped) return;
    // Bun cannot change the certificate of a listening socket. Open connections keep the old server.
    const port = current.port ?? this.#config.port;
    void current.stop(false);
    await this.#listenAgain(port, tls);
    this.#servers = this.#servers.filter((server) => server.pendingRequests > 0 || server === this.#current);
  }

  /** The port of a closed socket is taken for a moment when a connection was about to be made. */
  async #listenAgain(port: number, tls: Tls): Promise<void> {
    for (let tries = 0; !this.#isStopped; tries++) {
      try {
        return this.#listen(port, tls);
      } catch (error) {
        if (tries === TOLD_AFTER) this.#logger.error({ err: error }, 'nothing listens; trying again until it works');
        await Bun.sleep(AGAIN_MS);
      }
    }
  }

  get url(): string {
    return this.#current.url.origin;
  }

  pending(): number {
    return this.#servers.reduce((sum, server) => sum + server.pendingRequests, this.fleet.pending());
  }

  stopAccepting(): void {
    this.#isStopped = true;
    void this.#current.stop(false);
  }

  get #current(): Server {
    const server = this.#servers.at(-1);
    if (server === undefined) throw new Error('the listener was used before it was opened');
    return server;
  }

  #readTls(): Tls | undefined {
    const { tlsCert: cert, tlsKey: key } = this.#config;
    return cert === undefined || key === undefined ? undefined : readTls({ cert, key });
  }

  #listen(port: number, tls: Tls | undefined): void {
    const { host, replySeconds } = this.#config;
    const app = createApp(this.#deps);
    app.listen({
      hostname: host,
      port,
      // Bun shares a port by default: a second agent would start and take half of the requests.
      reusePort: false,
      idleTimeout: Math.min(255, Math.ceil(replySeconds) + IDLE_MARGIN_SECONDS),
      // The agent's own limit answers in JSON; Bun's limit does not.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      ...(tls !== undefined && { tls }),
    });
    if (app.server === null) throw new Error('the server did not start');
    this.#servers.push(app.server);
    this.#transfers.baseUrl = (this.#config.publicUrl ?? app.server.url.origin).replace(/\/$/, '');
  }
}

function gaugesOf({ commands, slots, approvals, freeze, store }: Deps): Gauges {
  const open = (): Session[] => [...store.all()].filter(({ record }) => !record.closed);
  const bytesOf = (session: Session): number =>
    commands.isSupervised(session) ? session.diskBytes() : outputOnDisk(session.record);
  return {
    running: () => open().filter(({ record }) => record.status === 'running').length,
    queued: () => slots.waiting,
    unapproved: () => approvals.count,
    frozen: () => Number(freeze.isFrozen),
    sessions: () => open().length,
    sessionBytes: () => open().reduce((sum, session) => sum + bytesOf(session), 0),
  };
}

/** Certificate and key as PEM, or their paths. */
interface Tls {
  readonly cert: string;
  readonly key: string;
}

class TlsFault extends Error {}

/** Reads and checks certificate and key: Bun would start with a pair that fails at each handshake. */
function readTls(files: Tls): Tls {
  const cert = readPem('AGENT3_TLS_CERT', files.cert);
  const key = readPem('AGENT3_TLS_KEY', files.key);
  const certificate = parsed('AGENT3_TLS_CERT', files.cert, 'a certificate', () => new X509Certificate(cert));
  const privateKey = parsed('AGENT3_TLS_KEY', files.key, 'a private key without a password', () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TlsFault(`the key ${files.key} does not belong to the certificate ${files.cert}`);
  }
  return { cert, key };
}

function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new TlsFault(`${name}: ${path} cannot be read: ${describeErrno(error)}`);
  }
}

function parsed<T>(name: string, path: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    // The parser's message has bytes of the key file.
    throw new TlsFault(`${name}: ${path} is not ${what} in PEM form`);
  }
}

function listenFault(host: string, port: number, error: unknown): string {
  switch (errnoOf(error)) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use, perhaps by another agent. Stop that, or set AGENT3_PORT to another port`;
    case 'EACCES':
      return `port ${port} on ${host} needs root. Set AGENT3_PORT to a port above 1023`;
    default:
      // Bun's own message does not help: "EEXIST: file already exists, listen".
      return `cannot listen on ${host} port ${port}: AGENT3_HOST must be an address of this machine, such as 127.0.0.1 or 0.0.0.0`;
  }
}
