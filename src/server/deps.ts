import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Access } from '../access/access.ts';
import { Allowances } from '../access/allowances.ts';
import { type Announce, Approvals, notifier } from '../access/approvals.ts';
import { Freeze } from '../access/freeze.ts';
import { Notifications, webhook } from '../access/webhook.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { Trail } from '../audit/trail.ts';
import { Commands } from '../commands/commands.ts';
import { Proposals } from '../commands/proposals.ts';
import { Standstill } from '../commands/standstill.ts';
import { Timings } from '../commands/timings.ts';
import { Contexts } from '../contexts/contexts.ts';
import type { FileDeps } from '../files/change.ts';
import { type LinkOperationDeps, Transfers } from '../files/transfers.ts';
import { Versions } from '../files/versions.ts';
import { OneShotEvent, systemClock } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { Turns } from '../lib/shares.ts';
import { CommandCgroups } from '../process/cgroup.ts';
import { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import { currentAccount } from '../process/environment.ts';
import { maskCommand } from '../secrets/secrets.ts';
import { Reopened } from '../sessions/reopened.ts';
import { SessionStore } from '../sessions/store.ts';
import { type Config, secretValues } from '../settings/config.ts';
import type { Logger } from './log.ts';

/** The real dependencies. Tests build their own. */
export interface Deps extends LinkOperationDeps, FileDeps {
  readonly config: Config;
  readonly logger: Logger;
  readonly shutdown: OneShotEvent;
  readonly cgroups: CommandCgroups | undefined;
  /** Pauses commands while the owner has frozen the server. */
  readonly standstill: Standstill;
  readonly approvals: Approvals;
  readonly notifications: Notifications;
  readonly timings: Timings;
  /** Undefined without an audit record. */
  readonly audit: AuditLog | undefined;
}

/** Builds everything that the agent needs. Opens no files or sockets. */
export function buildDeps(config: Config, logger: Logger, access: Access, audit?: AuditLog): Deps {
  const clock = systemClock;
  const account = currentAccount();
  const store = new SessionStore(config.sessionsDirectory, clock);
  const shutdown = new OneShotEvent();
  const slots = new ConcurrencyLimiter(config.maxRunning);
  const cgroups = openCgroups(config, logger);
  const secrets = { values: secretValues(config), isToken: (word: string) => access.isToken(word) };
  const trail = new Trail(audit, secrets);
  const { notifyUrl: url, notifySecret: secret } = config;
  const notifications = new Notifications();
  if (url !== undefined && secret !== undefined) notifications.add(webhook({ url, secret }, logger));
  const mask = (text: string): string => maskCommand(text, secrets);
  const announce = notifier(notifications.send, hostname(), mask);
  const notify: Announce = (...args) => notifications.isHeard && announce(...args);
  const approvals = new Approvals(config.sessionsDirectory, config.approvalsDirectory, clock, logger);
  shutdown.subscribe(() => approvals.stop());
  const freeze = new Freeze(config.approvalsDirectory, logger);
  const allowances = new Allowances({
    access,
    freeze,
    clock,
    ended: ({ id, principal, uses }, why) =>
      trail.agent('allowance', { allowance: id, token: principal, state: 'ended', uses, why }),
  });
  const turns = new Turns();
  const contexts = new Contexts(config.sessionsDirectory, clock);
  const timings = new Timings(clock);
  const shared = {
    ownArgv: ownArgv(),
    account,
    store,
    contexts,
    slots,
    turns,
    clock,
    logger,
    cgroups,
    trail,
    mask,
    freeze,
    reopened: new Reopened(),
    timings,
  };
  const commands = new Commands({ settings: config, ...shared });
  return {
    config,
    logger,
    shutdown,
    limits: config,
    ownArgv: ownArgv(),
    user: account.name,
    home: account.home,
    access,
    ownPaths: ownPaths(config),
    secrets,
    clock,
    store,
    contexts,
    commands,
    slots,
    turns,
    approvals,
    allowances,
    freeze,
    standstill: new Standstill(freeze, cgroups, () => commands.running().map(([, tree]) => tree)),
    notifications,
    proposals: new Proposals({ ...shared, access, notify, user: account.name }, commands, approvals),
    trail,
    audit,
    cgroups,
    timings,
    versions: new Versions(join(config.sessionsDirectory, '.versions'), clock, (bytes) => store.grow(bytes)),
    transfers: new Transfers({
      access,
      clock,
      trail,
      turns,
      shutdown,
      maxTransferBytes: config.maxTransferBytes,
    }),
  };
}

/** Returns the agent's own paths, which sandboxes hide. */
function ownPaths(config: Config): string[] {
  const { sessionsDirectory, tokensFile, profilesDirectory, approvalsDirectory, logFile, auditFile, tlsKey } = config;
  const { consoleDirectory, consoleSocket, fleetDirectory, hubFile, hubOrdersDirectory } = config;
  const record = auditFile && rotatedPath(auditFile);
  const log = logFile && rotatedPath(logFile);
  const tokens = tokensFile === undefined ? [] : [tokensFile, `${tokensFile}.lock`];
  const console = consoleDirectory === undefined ? [] : [consoleDirectory, consoleSocket];
  const fleet = [fleetDirectory, hubFile, hubOrdersDirectory];
  const all = [
    sessionsDirectory,
    ...tokens,
    ...console,
    ...fleet,
    profilesDirectory,
    approvalsDirectory,
    log,
    record,
    tlsKey,
  ];
  return [...new Set(all.filter((path) => path !== undefined))];
}

/**
 * Returns the paths of the record or the log, with its notes and rotated files. A mount for each of 90 files would take
 * 20 ms of every command, so a directory with the agent's name is hidden as a whole.
 */
function rotatedPath(file: string): string {
  const directory = dirname(file);
  return basename(directory) === 'agent3' ? directory : `${file}*`;
}

/** The command line of this program: the executable, or Bun and the entry in development. */
function ownArgv(): string[] {
  return Bun.main.startsWith('/$bunfs/') ? [process.execPath] : [process.execPath, join(import.meta.dir, '../main.ts')];
}

/** Returns the cgroup of the settings. Without one, commands run in the agent's own. */
function openCgroups(config: Config, logger: Logger): CommandCgroups | undefined {
  const {
    cgroup,
    commandMemoryBytes: memoryBytes,
    commandProcesses: processes,
    commandCpuPercent: cpuPercent,
  } = config;
  if (cgroup === undefined) {
    logger.info(
      'commands have no cgroup, because AGENT3_CGROUP is not set: they have no limits, and are stopped by process groups and marks',
    );
    return undefined;
  }
  const cgroups = new CommandCgroups(cgroup);
  const fault = cgroups.fault();
  if (fault === undefined) {
    try {
      logger.info(
        { cgroup, ...cgroups.limit({ memoryBytes, processes, cpuPercent }) },
        'each command has its own cgroup, with these limits',
      );
    } catch (error) {
      logger.warn({ cgroup, fault: describeErrno(error) }, 'the cgroup has no controllers, so commands have no limits');
    }
    return cgroups;
  }
  logger.warn({ cgroup, fault }, "the cgroup cannot be used, so commands run in the agent's cgroup and end with it");
  return undefined;
}
