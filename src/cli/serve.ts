import type { TSchema } from '@sinclair/typebox';
import type { Command } from 'commander';
import { processEnvironment, serviceManager } from '../config.ts';
import { describeSchema } from '../core/schema-words.ts';
import { buildDeps } from '../deps.ts';
import { schedule } from '../jobs/scheduler.ts';
import { recoverSessions } from '../operations/recovery.ts';
import { goBeforeCommands } from '../platform/priority.ts';
import { bootId } from '../platform/proc.ts';
import { settingsSchema } from '../settings.ts';
import { commit, version } from '../version.ts';
import { Listener } from './listener.ts';
import { reloadOnSignal } from './reload.ts';
import { reportTo } from './service-manager.ts';
import { stopOnSignals } from './shutdown.ts';
import {
  hideToken,
  openAccess,
  openAudit,
  openKeyRing,
  openStore,
  openTheLog,
  readConfig,
  sweepCgroups,
  sweepJob,
  warnOfPlaces,
} from './startup.ts';

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Run the agent: answer POST / until SIGTERM')
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

/** What a number may be, or which words there are. */
function rangeOf(schema: TSchema): string {
  const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
  return isNumber || schema['anyOf'] !== undefined ? ` Allowed: ${describeSchema(schema)}.` : '';
}

/** Runs the agent until it is told to stop. */
async function serve(): Promise<void> {
  const config = readConfig(processEnvironment());
  const manager = serviceManager(processEnvironment());
  hideToken();
  goBeforeCommands();
  const log = await openTheLog(config);
  const keys = openKeyRing(config, log.logger);
  const access = openAccess(config, log.logger, keys);
  const deps = buildDeps(config, log.logger, access, openAudit(config, log.logger));
  openStore(deps);
  deps.trail.agent('started', { version, pid: process.pid, boot: bootId() });
  deps.shutdown.subscribe(() => deps.trail.agent('stops', { pid: process.pid }));
  const listener = new Listener(deps, keys);
  listener.open();
  const recovered = recoverSessions(deps, log.logger);
  sweepCgroups(deps);
  const stopJobs = schedule([sweepJob(deps)], log.logger);
  if (config.unknownNames.length > 0) {
    log.logger.warn({ names: config.unknownNames }, 'these variables are no settings and have no effect');
  }
  stopOnSignals({ shutdown: deps.shutdown, log, stopJobs, server: listener, audit: deps.audit });
  warnOfPlaces(config, deps.approvals, log.logger);
  reloadOnSignal(log, listener, deps.audit);
  reportTo(manager, deps);
  log.logger.info({ url: listener.url, version, commit, pid: process.pid, ...recovered }, 'listening');
}
