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

/** The real dependencies as one record. Tests build their own. */
export interface Deps extends LinkOperationDeps, FileDeps {
  readonly config: Config;
  readonly logger: Logger;
  readonly shutdown: OneShotEvent;
  readonly cgroups: CommandCgroups | undefined;
  /** Holds what the owner has frozen. */
  readonly standstill: Standstill;
  readonly approvals: Approvals;
  readonly notifications: Notifications;
  readonly timings: Timings;
  /** Undefined: nothing is recorded. */
  readonly audit: AuditLog | undefined;
}

/** Builds everything the agent works with; opens neither files nor sockets. */
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

/** Where the agent keeps what commands in a sandbox have no business with. */
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
 * The record or the log, with the notes beside it and what was put aside of it. A mount for each of 90 files would take
 * 20 ms of every command, so a directory that bears the agent's name is hidden as a whole.
 */
function rotatedPath(file: string): string {
  const directory = dirname(file);
  return basename(directory) === 'agent3' ? directory : `${file}*`;
}

/** The executable itself; in development, Bun and the entry. */
function ownArgv(): string[] {
  return Bun.main.startsWith('/$bunfs/') ? [process.execPath] : [process.execPath, join(import.meta.dir, '../main.ts')];
}

/** Without a cgroup that the settings name, commands run in the agent's own. */
function openCgroups(config: Config, logger: Logger): CommandCgroups | undefined {
  const {
    cgroup,
    commandMemoryBytes: memoryBytes,
    commandProcesses: processes,
    commandCpuPercent: cpuPercent,
  } = config;
  if (cgroup === undefined) {
    logger.info(
      'commands have no cgroup of their own (AGENT3_CGROUP is not set): they have no limits, and are stopped by process groups and marks',
    );
    return undefined;
  }
  const cgroups = new CommandCgroups(cgroup);
  const fault = cgroups.fault();
  if (fault === undefined) {
    try {
      logger.info(
        { cgroup, ...cgroups.limit({ memoryBytes, processes, cpuPercent }) },
        'commands have a cgroup each, with these limits',
      );
    } catch (error) {
      logger.warn({ cgroup, fault: describeErrno(error) }, 'no controllers: commands have no limits of their own');
    }
    return cgroups;
  }
  logger.warn({ cgroup, fault }, "the cgroup cannot be used: commands run in the agent's own, and end with it");
  return undefined;
}
