import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { Access, ProfileBook } from '../access/access.ts';
import type { Approvals } from '../access/approvals.ts';
import { GrantKey } from '../access/grant.ts';
import { KeyRing } from '../access/key-ring.ts';
import { AuditLog } from '../audit/audit-log.ts';
import { AuditFault } from '../audit/chain.ts';
import { probeAhead } from '../commands/isolation.ts';
import { recoverSessions } from '../commands/recovery.ts';
import { DEFAULT_PRINCIPAL } from '../http/auth.ts';
import { systemClock } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { MAX_SESSIONS } from '../lib/limits.ts';
import type { Logger } from '../lib/logger.ts';
import { eraseEnvironmentVariable, forbidInspection, isInspectable } from '../linux/libc.ts';
import { noteFileLimits } from '../linux/open-files.ts';
import { bootId } from '../linux/proc.ts';
import { reapOrphans } from '../process/orphans.ts';
import { SessionsInUse } from '../sessions/store.ts';
import { type Config, ConfigError, loadConfig, SECRET_SETTINGS } from '../settings/config.ts';
import type { Deps } from './deps.ts';
import { reportEnds, reportFreezes } from './events.ts';
import { type Job, SessionSweep, schedule } from './jobs.ts';
import { type Log, openLog } from './log.ts';
import { StartupFault } from './startup-fault.ts';

export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  try {
    return loadConfig(environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new StartupFault(2, ...error.faults);
  }
}

/** Opens the log of the settings. Throws when it cannot be written. */
export async function openTheLog({ logLevel, logFile }: Config): Promise<Log> {
  try {
    const isTerminal = process.stderr.isTTY === true;
    return await openLog(logLevel, logFile === undefined ? { isTerminal } : { file: logFile });
  } catch (error) {
    throw new StartupFault(1, `the log file ${logFile} cannot be written: ${describeErrno(error)}`);
  }
}

/** Returns the tokens of the file; undefined when the settings have none. */
export function openKeyRing({ tokensFile, grantKey }: Config, logger: Logger): KeyRing | undefined {
  const key = grantKey === undefined ? undefined : new GrantKey(grantKey);
  return tokensFile === undefined ? undefined : new KeyRing(tokensFile, systemClock, logger, key);
}

/**
 * Returns why left-over commands of an earlier agent could read the secrets until now, and what to do; undefined when they
 * could not, and for root. Call it before `hideToken`.
 */
export function exposureAtStart(): string | undefined {
  if (process.geteuid?.() === 0 || !isInspectable()) return undefined;
  const repair = isReadable(process.execPath)
    ? `chown root:root ${process.execPath}; chmod 711 ${process.execPath}`
    : 'sysctl -w fs.suid_dumpable=0';
  return `left-over commands could read the token while the agent started. To prevent that, as root: ${repair}`;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Removes the token from the environment: then only the agent's memory has it, which other processes cannot read. */
export function hideToken(): void {
  // The second variable of the original may have a secret too.
  for (const name of [...SECRET_SETTINGS, 'AGENT3_TOKEN']) eraseEnvironmentVariable(name);
  forbidInspection();
}

/** Returns what each token may do. Throws with the reasons when the profile of the settings cannot be used. */
export function openAccess({ profilesDirectory, profile }: Config, logger: Logger, keys: KeyRing | undefined): Access {
  const book = new ProfileBook(profilesDirectory, systemClock, logger);
  if (book.get(profile) === undefined) {
    const faults = book.faultsOf(profile);
    if (faults.length === 0) throw new StartupFault(2, `AGENT3_PROFILE: there is no profile ${profile}`);
    throw new StartupFault(2, `AGENT3_PROFILE: the profile ${profile} cannot be used`, ...faults);
  }
  return new Access(book, profile, keys, DEFAULT_PRINCIPAL);
}

/** Starts an agent whose sessions are open, over HTTP or MCP. `more` are further jobs. */
export function beginWork(deps: Deps, more: readonly Job[] = []) {
  reportFreezes(deps);
  reportEnds(deps);
  const { config, approvals, logger } = deps;
  noteFileLimits();
  reapOrphans();
  const recovered = recoverSessions(deps, logger);
  deps.standstill.takeUp();
  sweepCgroups(deps);
  const stopJobs = schedule([sweepJob(deps), ...more], logger);
  const names = config.unknownNames;
  if (names.length > 0) logger.warn({ names }, 'these variables are not settings and have no effect');
  warnOfMissingDirectories(config, approvals, logger);
  return { recovered, stopJobs };
}

/** Warns of directories in the settings that do not exist, probably misspelt. */
function warnOfMissingDirectories(
  { tokensFile, profilesDirectory, approvalsDirectory }: Config,
  approvals: Approvals,
  logger: Logger,
): void {
  const place = tokensFile === undefined ? undefined : dirname(tokensFile);
  if (place !== undefined && !existsSync(place))
    logger.warn(
      { directory: place },
      'AGENT3_TOKENS_FILE: its directory does not exist, so there are no further tokens',
    );
  if (profilesDirectory !== undefined && !existsSync(profilesDirectory))
    logger.warn({ directory: profilesDirectory }, 'AGENT3_PROFILES_DIR: the directory does not exist');
  const fault = approvalsDirectory === undefined ? undefined : approvals.fault();
  if (fault !== undefined)
    logger.warn({ fault }, 'AGENT3_APPROVALS_DIR: the directory cannot be used, so what needs approval is denied');
}

/** Tries the sandboxes of the profiles, now and after changes, so that no call has to wait for it. */
export function probeSandboxes({ access, ownPaths, clock, logger }: Deps): void {
  access.watchProfiles((profiles) => {
    probeAhead(profiles, ownPaths, clock).catch((error) =>
      logger.warn({ err: error }, 'the sandboxes of the profiles could not be tried'),
    );
  });
}

/** Opens the audit record of the settings. Throws with the reason when it cannot be written. */
export function openAudit({ auditFile, auditKey }: Config, logger: Logger): AuditLog | undefined {
  try {
    return auditFile === undefined ? undefined : new AuditLog(auditFile, auditKey, systemClock, logger, bootId());
  } catch (error) {
    if (!(error instanceof AuditFault)) throw error;
    throw new StartupFault(1, error.message);
  }
}

/** Opens and reads the sessions. Throws with the reason when they cannot be used. */
export function openStore(deps: Deps): void {
  const fault = tryOpenStore(deps);
  if (fault !== undefined) throw new StartupFault(1, fault.message);
}

/** Does the same, but returns what to do when another agent uses them. */
export function tryOpenStore({ store }: Deps): SessionsInUse | undefined {
  try {
    store.open();
    store.load();
    return undefined;
  } catch (error) {
    if (error instanceof SessionsInUse) return error;
    const errno = errnoOf(error);
    if (errno === undefined) throw new StartupFault(1, (error as Error).message);
    const reason = errno === 'EEXIST' ? 'it is a file' : describeErrno(error);
    throw new StartupFault(1, `the sessions directory ${store.directory} cannot be used: ${reason}`);
  }
}

const SWEEP_TIME = '0 * * * * *';

/** Sweeps the sessions every minute. */
function sweepJob(deps: Deps): Job {
  const { config, store, versions, contexts, commands, clock, logger } = deps;
  const sweep = new SessionSweep({
    store,
    versions,
    clock,
    logger,
    limits: {
      ttlSeconds: config.sessionTtlSeconds,
      totalBytes: config.maxSessionsBytes,
      totalSessions: MAX_SESSIONS,
    },
    isBusy: (session) => commands.isSupervised(session),
    stop: (session) => commands.stop(session, 'output_limit'),
  });
  return {
    name: 'sweep-sessions',
    cronTime: SWEEP_TIME,
    run: async () => {
      sweepCgroups(deps);
      contexts.expire(config.sessionTtlSeconds);
      await sweep.run();
    },
  };
}

/** What an earlier agent left, and what could not be removed at once. */
function sweepCgroups({ cgroups, store, commands }: Deps): void {
  const busy = new Set<string>();
  for (const session of store.all()) if (commands.isSupervised(session)) busy.add(session.id);
  cgroups?.sweep((name) => busy.has(name));
}
