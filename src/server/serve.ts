import type { AuditLog } from '../audit/audit-log.ts';
import { recoverSessions } from '../commands/recovery.ts';
import { goBeforeCommands } from '../linux/priority.ts';
import { bootId } from '../linux/proc.ts';
import { processEnvironment, serviceManager } from '../settings/config.ts';
import { commit, version } from '../version.ts';
import { buildDeps } from './deps.ts';
import { Listener } from './listener.ts';
import type { Log } from './log.ts';
import { schedule } from './scheduler.ts';
import { reportTo } from './service-manager.ts';
import { stopOnSignals } from './shutdown.ts';
import {
  exposureAtStart,
  hideToken,
  openAccess,
  openAudit,
  openKeyRing,
  openStore,
  openTheLog,
  probeSandboxes,
  readConfig,
  sweepCgroups,
  sweepJob,
  warnOfPlaces,
} from './startup.ts';

/** Runs the agent until it is told to stop. Throws `StartupFault` when it cannot start. */
export async function serve(): Promise<void> {
  const config = readConfig(processEnvironment());
  const manager = serviceManager(processEnvironment());
  const exposure = exposureAtStart();
  hideToken();
  goBeforeCommands();
  const log = await openTheLog(config);
  // By hand, other programs of the user are its own business.
  if (exposure !== undefined) log.logger[manager.notifySocket === undefined ? 'info' : 'warn'](exposure);
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
  probeSandboxes(deps);
  log.logger.info({ url: listener.url, version, commit, pid: process.pid, ...recovered }, 'listening');
}

/**
 * SIGHUP: opens the files of the log and of the audit record again, and reads the certificate again. Settings need a
 * restart. In a terminal it keeps its usual meaning, the end: the person who closes the window wants no agent left behind.
 */
function reloadOnSignal(log: Log, listener: Listener, audit: AuditLog | undefined): void {
  if (process.stderr.isTTY === true) return;
  process.on('SIGHUP', () => {
    log.reopen();
    try {
      audit?.reopen();
    } catch (error) {
      log.logger.error({ err: error }, 'the audit record was not opened anew; the old file stays in use');
    }
    try {
      listener.reload();
      log.logger.info('reloaded');
    } catch (error) {
      log.logger.error({ err: error }, 'the certificate was not reloaded; the old one stays in use');
    }
  });
}
