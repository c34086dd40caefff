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

/** The log that the settings name; throws when it cannot be written. */
export async function openTheLog({ logLevel, logFile }: Config): Promise<Log> {
  try {
    const isTerminal = process.stderr.isTTY === true;
    return await openLog(logLevel, logFile === undefined ? { isTerminal } : { file: logFile });
  } catch (error) {
    throw new StartupFault(1, `the log file ${logFile} cannot be written: ${describeErrno(error)}`);
  }
}

/** The tokens beside that of the settings; undefined where the settings name no file of them. */
export function openKeyRing({ tokensFile, grantKey }: Config, logger: Logger): KeyRing | undefined {
  const key = grantKey === undefined ? undefined : new GrantKey(grantKey);
  return tokensFile === undefined ? undefined : new KeyRing(tokensFile, systemClock, logger, key);
}

/**
 * What let the commands of an earlier agent, which run as the same user, read the secrets until now, and what to do
 * about it; undefined where nothing did, and for root. Looked at before `hideToken`.
 */
export function exposureAtStart(): string | undefined {
  if (process.geteuid?.() === 0 || !isInspectable()) return undefined;
  const repair = isReadable(process.execPath)
    ? `chown root:root ${process.execPath}; chmod 711 ${process.execPath}`
    : 'sysctl -w fs.suid_dumpable=0';
  return `commands that were left over could read the token while the agent started; as root: ${repair}`;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** From here on, the token is in the agent's memory alone, which no process of the same user may look into. */
export function hideToken(): void {
  // Of the original's second variable nobody knows what its owner has in it.
  for (const name of [...SECRET_SETTINGS, 'AGENT3_TOKEN']) eraseEnvironmentVariable(name);
  forbidInspection();
}

/** What each token may do; throws, with the reasons, when the profile of the settings cannot be had. */
export function openAccess({ profilesDirectory, profile }: Config, logger: Logger, keys: KeyRing | undefined): Access {
  const book = new ProfileBook(profilesDirectory, systemClock, logger);
  if (book.get(profile) === undefined) {
    const faults = book.faultsOf(profile);
    if (faults.length === 0) throw new StartupFault(2, `AGENT3_PROFILE: there is no profile ${profile}`);
    throw new StartupFault(2, `AGENT3_PROFILE: the profile ${profile} cannot be used`, ...faults);
  }
  return new Access(book, profile, keys, DEFAULT_PRINCIPAL);
}

/** What an agent begins with when its sessions are open, whatever its door; `more` are jobs of its door. */
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
  if (names.length > 0) logger.warn({ names }, 'these variables are no settings and have no effect');
  warnOfMissingDirectories(config, approvals, logger);
  return { recovered, stopJobs };
}

/** Tells of places in the settings that are not there: what a misspelt one means is missed much later. */
function warnOfMissingDirectories(
  { tokensFile, profilesDirectory, approvalsDirectory }: Config,
  approvals: Approvals,
  logger: Logger,
): void {
  const place = tokensFile === undefined ? undefined : dirname(tokensFile);
  if (place !== undefined && !existsSync(place))
    logger.warn({ directory: place }, 'AGENT3_TOKENS_FILE: there is no such directory, so there are no tokens in it');
  if (profilesDirectory !== undefined && !existsSync(profilesDirectory))
    logger.warn({ directory: profilesDirectory }, 'AGENT3_PROFILES_DIR: there is no such directory');
  const fault = approvalsDirectory === undefined ? undefined : approvals.fault();
  if (fault !== undefined) logger.warn({ fault }, 'AGENT3_APPROVALS_DIR: what needs approval is denied');
}

/** Tries the sandboxes of the profiles that are set up, now and when they change, so that no call has to wait for it. */
export function probeSandboxes({ access, ownPaths, clock, logger }: Deps): void {
  access.watchProfiles((profiles) => {
    probeAhead(profiles, ownPaths, clock).catch((error) =>
      logger.warn({ err: error }, 'the sandboxes of the profiles could not be tried'),
    );
  });
}

/** The audit record that the settings name; throws, with the reason, when it cannot be written. */
export function openAudit({ auditFile, auditKey }: Config, logger: Logger): AuditLog | undefined {
  try {
    return auditFile === undefined ? undefined : new AuditLog(auditFile, auditKey, systemClock, logger, bootId());
  } catch (error) {
    if (!(error instanceof AuditFault)) throw error;
    throw new StartupFault(1, error.message);
  }
}

/** Opens and reads the sessions; throws, with the reason, when they cannot be used. */
export function openStore(deps: Deps): void {
  const fault = tryOpenStore(deps);
  if (fault !== undefined) throw new StartupFault(1, fault.message);
}

/** The same, but gives what to do about it when another agent has them. */
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

/** Looks every minute for sessions that have to go. */
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
