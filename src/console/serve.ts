import { chmodSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeErrno } from '../lib/errors.ts';
import { eraseEnvironmentVariable, forbidInspection } from '../linux/libc.ts';
import { openNotifySocket } from '../linux/notify.ts';
import { serviceManager } from '../settings/environment.ts';
import { Api } from './api.ts';
import type { ConsoleConfig } from './config.ts';
import { ConsoleFault } from './fault.ts';
import { answerHttp, type HttpDeps, MAX_BODY_BYTES } from './http.ts';
import { People } from './people.ts';
import { PostBox } from './post-box.ts';
import { PushApi } from './push/push-api.ts';
import { PushBox } from './push/push-box.ts';
import { WireClient } from './wire-client.ts';

/** Longer than the longest answer: Bun closes a connection that is silent for 10 s. Its types have none for a unix socket. */
const IDLE: object = { idleTimeout: 60 };

/** Serves the owner's page and its API until SIGTERM. Throws `ConsoleFault`. */
export function serveConsole(
  config: ConsoleConfig,
  environment: Readonly<Record<string, string | undefined>>,
): { readonly url: string } {
  // From here on the key is in the memory of this process alone.
  eraseEnvironmentVariable('AGENT3_CONSOLE_KEY');
  forbidInspection();
  makePlaces(config);
  const { origin } = config;
  const people = new People(join(config.directory, 'people.json'), config.passkeysFile, origin);
  const postBox = new PostBox(config.directory, config.answers);
  const wire = new WireClient(config.socket, config.key);
  const pushes = new PushApi({ box: new PushBox(config.directory), wire, people });
  const api = new Api({ people, postBox, wire, pushes, rpId: new URL(origin).hostname });
  const deps: HttpDeps = {
    api,
    origin,
    trustedProxies: config.trustedProxies,
    pageFiles: async () => (await import('./page-files.ts')).pageFiles(),
    tell: (error) => void process.stderr.write(`agent3: ${error instanceof Error ? error.stack : String(error)}\n`),
  };
  const server = listen(config.listen, deps);
  const { notifySocket } = serviceManager(environment);
  const notify = notifySocket === undefined ? undefined : openNotifySocket(notifySocket);
  notify?.('READY=1\n');
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      notify?.('STOPPING=1\n');
      if (config.listen.startsWith('/')) rmSync(config.listen, { force: true });
      void server.stop(true);
      process.exit(0);
    });
  return { url: config.listen.startsWith('/') ? config.listen : server.url.origin };
}

/** The directories in which it leaves orders. In an installation they are there. */
function makePlaces({ directory }: ConsoleConfig): void {
  try {
    for (const name of ['orders', 'root-orders', 'links', 'subscriptions'])
      mkdirSync(join(directory, name), { recursive: true, mode: 0o750 });
    if (statSync(join(directory, 'orders')).uid === process.geteuid?.()) return;
  } catch (error) {
    throw new ConsoleFault(`AGENT3_CONSOLE_DIR: ${directory} cannot be used: ${describeErrno(error)}`);
  }
  throw new ConsoleFault(
    `AGENT3_CONSOLE_DIR: ${directory} belongs to another user. Orders count by the owner of their files: run the console as that user`,
  );
}

function listen(place: string, deps: HttpDeps) {
  const common = { maxRequestBodySize: 2 * MAX_BODY_BYTES, development: false, ...IDLE };
  try {
    if (place.startsWith('/')) {
      if (existsSync(dirname(place))) rmSync(place, { force: true });
      const server = Bun.serve({ ...common, unix: place, fetch: (request) => answerHttp(deps, request, undefined) });
      chmodSync(place, 0o600);
      return server;
    }
    const { hostname, port } = new URL(`http://${place}`);
    return Bun.serve({
      ...common,
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 80),
      // A second console on the same port would take half of the requests.
      reusePort: false,
      fetch: (request, server) => answerHttp(deps, request, server.requestIP(request)?.address ?? ''),
    });
  } catch (error) {
    throw new ConsoleFault(`AGENT3_CONSOLE_LISTEN: it cannot listen on ${place}: ${describeErrno(error)}`);
  }
}
