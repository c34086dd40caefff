import type { TSchema } from '@sinclair/typebox';
import type { Command } from 'commander';
import { type Config, ConfigError, loadConfig, processEnvironment, serviceManager } from '../config.ts';
import { describeErrno, errnoOf } from '../core/errors.ts';
import { describeSchema } from '../core/schema-words.ts';
import { buildDeps, type Deps } from '../deps.ts';
import { type Job, schedule } from '../jobs/scheduler.ts';
import { sweepSessions } from '../jobs/sweep-sessions.ts';
import { type Log, openLog } from '../log/log.ts';
import { recoverSessions } from '../operations/recovery.ts';
import { eraseEnvironmentVariable, forbidInspection } from '../platform/libc.ts';
import { settingsSchema } from '../settings.ts';
import { commit, version } from '../version.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { Listener } from './listener.ts';
import { reloadOnSignal } from './reload.ts';
import { reportTo } from './service-manager.ts';
import { stopOnSignals } from './shutdown.ts';

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
    return `  ${name.padEnd(32)}${description?.replaceAll('`', '')}${shown}${rangeOf(settingsSchema.properties[name as keyof typeof settingsSchema.properties])}`;
  });
  return `\nSettings, from the environment:\n${lines.join('\n')}`;
}

/** What a number may be. */
function rangeOf(schema: TSchema): string {
  const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
  return isNumber ? ` Allowed: ${describeSchema(schema)}.` : '';
}

/** Runs the agent until it is told to stop. */
async function serve(): Promise<void> {
  const config = readConfig();
  const manager = serviceManager(processEnvironment());
  hideToken();
  const log = await openTheLog(config);
  const deps = buildDeps(config, log.logger);
  openStore(deps);
  const listener = new Listener(deps);
  listener.open();
  const recovered = recoverSessions(deps, log.logger);
  sweepCgroups(deps);
  const stopJobs = schedule([sweepJob(deps)], log.logger);
  if (config.unknownNames.length > 0) {
    log.logger.warn({ names: config.unknownNames }, 'these variables are no settings and have no effect');
  }
  stopOnSignals({ shutdown: deps.shutdown, log, stopJobs, server: listener });
  reloadOnSignal(log, listener);
  reportTo(manager, deps);
  log.logger.info({ url: listener.url, version, commit, pid: process.pid, ...recovered }, 'listening');
}

async function openTheLog({ logLevel, logFile }: Config): Promise<Log> {
  try {
    const isTerminal = process.stderr.isTTY === true;
    return await openLog(logLevel, logFile === undefined ? { isTerminal } : { file: logFile });
  } catch (error) {
    fail(EXIT_FAILURE, `the log file ${logFile} cannot be written: ${describeErrno(error)}`);
  }
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
    const errno = errnoOf(error);
    if (errno === undefined) fail(EXIT_FAILURE, (error as Error).message);
    const reason = errno === 'EEXIST' ? 'it is a file' : describeErrno(error);
    fail(EXIT_FAILURE, `the sessions directory ${store.directory} cannot be used: ${reason}`);
  }
}

/** Every full minute. */
const SWEEP_TIME = '0 * * * * *';

function sweepJob(deps: Deps): Job {
  const { config, store, commands, clock, logger } = deps;
  return {
    name: 'sweep-sessions',
    cronTime: SWEEP_TIME,
    run: async () => {
      sweepCgroups(deps);
      await sweepSessions({
        store,
        clock,
        notices: logger,
        limits: { ttlSeconds: config.sessionTtlSeconds, totalBytes: config.maxSessionsBytes },
        isBusy: (session) => commands.isSupervised(session),
        stop: (session) => commands.stop(session, 'output_limit'),
      });
    },
  };
}

/** What an earlier agent left, and what could not be removed at once. */
function sweepCgroups({ cgroups, store, commands }: Deps): void {
  const busy = new Set<string>();
  for (const session of store.all()) if (commands.isSupervised(session)) busy.add(session.id);
  cgroups?.sweep((name) => busy.has(name));
}
