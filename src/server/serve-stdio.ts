import { homedir } from 'node:os';
import { join } from 'node:path';
import { CallLimiter } from '../http/limiters.ts';
import { Deadline, delay } from '../lib/clock.ts';
import { newToken } from '../lib/token.ts';
import { StdioDoor } from '../mcp/stdio.ts';
import { allOperations } from '../operations/index.ts';
import { buildDeps, type Deps } from '../server/deps.ts';
import type { Logger } from '../server/log.ts';
import type { Config } from '../settings/config.ts';
import { processEnvironment } from '../settings/environment.ts';
import { commit, version } from '../version.ts';
import { stopAgent, stopOnSignals } from './shutdown.ts';
import {
  beginWork,
  hideToken,
  openAccess,
  openAudit,
  openStore,
  openTheLog,
  probeSandboxes,
  readConfig,
  tryOpenStore,
} from './startup.ts';
import { StartupFault } from './startup-fault.ts';

/** Time for running calls to be answered after the client has closed its end. Then the agent ends. */
const LAST_ANSWERS_SECONDS = 2;

const LOOK_MS = 20;

/** Most agents of one user at once without AGENT3_SESSIONS_DIR: one for each client. */
const MAX_DIRECTORIES = 32;

/** Speaks MCP over standard input and output until the client closes its end. Throws `StartupFault` when it cannot start. */
export async function serveStdio(): Promise<void> {
  const environment = processEnvironment();
  // No client sends it: a user who may start the agent may use it.
  const config = readConfig({ ...environment, AGENT3_API_TOKEN: newToken() });
  hideToken();
  const log = await openTheLog(config);
  const deps = openDeps(config, log.logger, environment);
  const { recovered, stopJobs } = beginWork(deps);
  const { shutdown } = deps;
  const { replySeconds, maxReplyChars } = config;
  const operations = allOperations(deps);
  const server = StdioDoor.open({
    operations,
    access: deps.access,
    calls: new CallLimiter(),
    shutdown,
    maxReplyChars,
    version,
    logger: log.logger,
    replySeconds,
  });
  const stoppable = { shutdown, log, stopJobs, server, audit: deps.audit };
  stopOnSignals(stoppable);
  server.closed.subscribe(() => void stopAfterLastAnswers(stoppable));
  const sessions = deps.store.directory;
  probeSandboxes(deps);
  log.logger.info({ sessions, version, commit, pid: process.pid, ...recovered }, 'speaking MCP');
}

async function stopAfterLastAnswers(deps: Parameters<typeof stopAgent>[0]): Promise<void> {
  const deadline = Deadline.after(LAST_ANSWERS_SECONDS);
  do await delay(LOOK_MS);
  while (deps.server.pending() > 0 && !deadline.passed);
  if (!deps.shutdown.fired) await stopAgent(deps, { cause: 'the client closed standard input' });
}

/** Opens the sessions directory of the settings, or the first default directory that no other agent uses. */
function openDeps(config: Config, logger: Logger, environment: Readonly<Record<string, string | undefined>>): Deps {
  const access = openAccess(config, logger, undefined);
  const audit = openAudit(config, logger);
  if (environment['AGENT3_SESSIONS_DIR']) {
    const deps = buildDeps(config, logger, access, audit);
    openStore(deps);
    return deps;
  }
  const state = environment['XDG_STATE_HOME'] || join(homedir(), '.local/state');
  for (let number = 1; number <= MAX_DIRECTORIES; number++) {
    const sessionsDirectory = join(state, 'agent3', number === 1 ? 'sessions' : `sessions-${number}`);
    const deps = buildDeps({ ...config, sessionsDirectory }, logger, access, audit);
    if (tryOpenStore(deps) === undefined) return deps;
  }
  throw new StartupFault(
    1,
    `${MAX_DIRECTORIES} agents already run. End some, or set AGENT3_SESSIONS_DIR to another directory`,
  );
}
