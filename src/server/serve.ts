import type { AuditLog } from '../audit/audit-log.ts';
import { formatServiceStatus } from '../lib/service-status.ts';
import { openNotifySocket } from '../linux/notify.ts';
import { bootId, goBeforeCommands } from '../linux/proc.ts';
import { processEnvironment, type ServiceManager, serviceManager } from '../settings/environment.ts';
import { commit, version } from '../version.ts';
import { openConsole } from './console.ts';
import { buildDeps, type Deps } from './deps.ts';
import { reportRestart } from './events.ts';
import { type Fleet, NO_FLEET, openFleet } from './fleet.ts';
import { Listener } from './listener.ts';
import type { Log } from './log.ts';
import { stopOnSignals } from './shutdown.ts';
import { openSignIn } from './sign-in.ts';
import {
  beginWork,
  exposureAtStart,
  hideToken,
  openAccess,
  openAudit,
  openKeyRing,
  openStore,
  openTheLog,
  probeSandboxes,
  readConfig,
} from './startup.ts';

/** Runs the agent until a signal stops it. Throws `StartupFault` when it cannot start. */
export async function serve(): Promise<void> {
  const config = readConfig(processEnvironment());
  const manager = serviceManager(processEnvironment());
  const exposure = exposureAtStart();
  hideToken();
  goBeforeCommands();
  const log = await openTheLog(config);
  // Started by hand, the agent shares its user with other programs.
  if (exposure !== undefined) log.logger[manager.notifySocket === undefined ? 'info' : 'warn'](exposure);
  const keys = openKeyRing(config, log.logger);
  const access = openAccess(config, log.logger, keys);
  const deps = buildDeps(config, log.logger, access, openAudit(config, log.logger));
  openStore(deps);
  deps.trail.agent('started', { version, pid: process.pid, boot: bootId() });
  deps.shutdown.subscribe(() => deps.trail.agent('stops', { pid: process.pid }));
  const signIn = openSignIn(deps, keys);
  const fleet = await openFleet(deps);
  const listener = new Listener(deps, keys, signIn, fleet);
  listener.open();
  const { recovered, stopJobs } = beginWork(deps, signIn?.jobs ?? []);
  stopOnSignals({ shutdown: deps.shutdown, log, stopJobs, server: listener, audit: deps.audit });
  reloadOnSignal(log, listener, deps.audit);
  reportTo(manager, deps, fleet);
  await openConsole(deps, fleet.hub);
  if (manager.notifySocket !== undefined) reportRestart(deps);
  probeSandboxes(deps);
  log.logger.info({ url: listener.url, version, commit, pid: process.pid, ...recovered }, 'listening');
}

/**
 * SIGHUP: opens log and audit record again, and reads the certificate again. Settings need a restart. In a terminal,
 * SIGHUP ends the agent as usual, when the window is closed.
 */
function reloadOnSignal(log: Log, listener: Listener, audit: AuditLog | undefined): void {
  if (process.stderr.isTTY === true) return;
  process.on('SIGHUP', () => {
    log.reopen();
    try {
      audit?.reopen();
    } catch (error) {
      log.logger.error({ err: error }, 'the audit record could not be opened again; the old file stays in use');
    }
    listener.reload().then(
      () => log.logger.info('reloaded'),
      (error) => log.logger.error({ err: error }, 'the certificate was not reloaded; the old one stays in use'),
    );
  });
}

/** Delay before systemd is told a new number of running commands, to skip short ones. */
const STATUS_DELAY_MS = 300;

/** How late it is told that a connection of the fleet has come or gone. */
const FLEET_LOOK_MS = 2000;

/** systemd expects a ping every half of the watchdog's time (sd_watchdog_enabled(3)). A third tolerates a slow one. */
const SIGNS_PER_WATCHDOG = 3;

/**
 * Notifies systemd (sd_notify(3)) that the agent is ready, lives and stops, and how many commands run. Pings come from the
 * event loop, so an agent that hangs sends none, and systemd restarts it.
 */
export function reportTo(manager: ServiceManager, { shutdown, commands, freeze, logger }: Deps, fleet: Fleet): void {
  if (manager.notifySocket === undefined) return;
  const notify = openNotifySocket(manager.notifySocket);
  const status = (): string => {
    const { supervised, outliving } = commands;
    const fields = { commands: supervised, outliving, isFrozen: freeze.isFrozen, ...fleet.status() };
    return `STATUS=${formatServiceStatus(fields)}\n`;
  };
  let said = status();
  if (!notify(`READY=1\n${said}`)) logger.warn('the service manager accepts no notification');
  if (manager.watchdogMs !== undefined) {
    setInterval(() => notify('WATCHDOG=1\n'), manager.watchdogMs / SIGNS_PER_WATCHDOG).unref();
  }
  let isDue = false;
  const changed = (): void => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      said = status();
      if (!shutdown.fired) notify(said);
    }, STATUS_DELAY_MS);
  };
  const look = (): void => {
    if (said !== status()) changed();
  };
  if (fleet !== NO_FLEET) setInterval(look, FLEET_LOOK_MS).unref();
  commands.watchCount(changed);
  freeze.subscribe(changed);
  shutdown.subscribe(() => notify('STOPPING=1\nSTATUS=stopping'));
}
