import type { Command } from 'commander';
import { type Config, ConfigError, loadConfig, processEnvironment, settingsSchema } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { buildDeps, type Deps } from '../deps.ts';
import { createApp } from '../http/app.ts';
import { singleToken } from '../http/auth.ts';
import { slowDownGuessing } from '../http/guessing.ts';
import { type Job, schedule } from '../jobs/scheduler.ts';
import { sweepSessions } from '../jobs/sweep-sessions.ts';
import { openLog } from '../log/log.ts';
import { allOperations } from '../operations/index.ts';
import { recoverSessions } from '../operations/recovery.ts';
import { eraseEnvironmentVariable, forbidInspection } from '../platform/libc.ts';
import { commit, version } from '../version.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { type Listening, stopOnSignals } from './shutdown.ts';

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Run the agent: answer POST / until SIGTERM (the default)')
    .addHelpText('after', settingsHelp)
    .action(serve);
}

function settingsHelp(): string {
  const lines = Object.entries(settingsSchema.properties).map(([name, { default: value, description }]) => {
    const shown = value === undefined ? '' : ` Default: ${value}.`;
    return `  ${name.padEnd(28)}${description?.replaceAll('`', '')}${shown}`;
  });
  return `\nSettings, from the environment:\n${lines.join('\n')}`;
}

/** Runs the agent until it is told to stop. */
async function serve(): Promise<void> {
  const config = readConfig();
  hideToken();
  const log = await openLog(config.logLevel, process.stderr.isTTY === true);
  const deps = buildDeps(config, log.logger);
  openStore(deps);
  const server = listen(deps);
  const recovered = recoverSessions(deps, log.logger);
  const stopJobs = schedule([sweepJob(deps)], log.logger);
  if (config.unknownNames.length > 0) {
    log.logger.warn({ names: config.unknownNames }, 'these variables are no settings and have no effect');
  }
  stopOnSignals({ shutdown: deps.shutdown, log, stopJobs, server });
  log.logger.info({ url: server.url, version, commit, pid: process.pid, ...recovered }, 'listening');
}

function readConfig(): Config {
  try {
    return loadConfig(processEnvironment());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    fail(EXIT_USAGE, ...error.faults);
  }
}

/** From here on, the token is in the agent's memory alone, which no process of the same user may look into. */
function hideToken(): void {
  eraseEnvironmentVariable('AGENT3_API_TOKEN');
  eraseEnvironmentVariable('AGENT3_TOKEN');
  forbidInspection();
}

function openStore({ store }: Deps): void {
  try {
    store.open();
    store.load();
  } catch (error) {
    const reason = errnoOf(error) === undefined ? String((error as Error).message) : describeErrno(error);
    fail(EXIT_FAILURE, `the sessions directory ${store.directory} cannot be used: ${reason}`);
  }
}

/** Bun closes a connection that is silent for longer: it must outlast the longest answer (255 s is Bun's maximum). */
const IDLE_MARGIN_SECONDS = 30;

function listen(deps: Deps): Listening {
  const { config } = deps;
  const app = createApp({
    operations: allOperations(deps),
    auth: slowDownGuessing(singleToken(config.token), systemClock),
    logger: deps.logger,
    shutdown: deps.shutdown,
    replySeconds: config.replySeconds,
    version,
  });
  try {
    app.listen({
      hostname: config.host,
      port: config.port,
      // Bun shares a port by default: a second agent would start and take half of the requests.
      reusePort: false,
      idleTimeout: Math.min(255, Math.ceil(config.replySeconds) + IDLE_MARGIN_SECONDS),
      // The body limit is ours, with an answer in JSON; Bun's own answers by itself.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
    });
  } catch (error) {
    fail(EXIT_FAILURE, listenFault(config, error));
  }
  const { server } = app;
  if (server === null) fail(EXIT_FAILURE, 'the server did not start');
  return {
    url: server.url.origin,
    pending: () => server.pendingRequests,
    stopAccepting: () => void server.stop(false),
  };
}

function listenFault({ host, port }: Config, error: unknown): string {
  switch (errnoOf(error)) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken, perhaps by another agent; stop that, or set AGENT3_PORT to another port`;
    case 'EACCES':
      return `port ${port} on ${host} needs root; set AGENT3_PORT to one above 1023`;
    default:
      return `cannot listen on ${host} port ${port}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Every full minute. */
const SWEEP_TIME = '0 * * * * *';

function sweepJob({ config, store, commands, clock, logger }: Deps): Job {
  return {
    name: 'sweep-sessions',
    cronTime: SWEEP_TIME,
    run: () =>
      sweepSessions({
        store,
        clock,
        notices: logger,
        limits: { ttlSeconds: config.sessionTtlSeconds, totalBytes: config.maxSessionsBytes },
        isBusy: (session) => commands.isSupervised(session),
        stop: (session) => commands.stop(session, 'output_limit'),
      }),
  };
}
