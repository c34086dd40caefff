import { Deadline, delay, type OneShotEvent } from '../lib/clock.ts';
import type { Log } from './log.ts';

/** The part of an agent that takes calls. */
export interface Listening {
  pending(): number;
  /** Takes no new connection; the open ones go on. */
  stopAccepting(): void;
}

interface Stoppable {
  readonly shutdown: OneShotEvent;
  readonly log: Log;
  readonly server: Listening;
  readonly audit: { close(): void } | undefined;
  stopJobs(): Promise<void>;
}

/** systemd and people wait for this long at most: answers that are not out by then are dropped. */
const SHUTDOWN_SECONDS = 9;

/** How often the requests under way are counted while the agent ends: Bun has no event for it. */
const PENDING_LOOK_MS = 20;

/** Ends the agent in order on SIGTERM and SIGINT; a second signal ends it at once. Commands go on by themselves. */
export function stopOnSignals(deps: Stoppable): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (deps.shutdown.fired) end(deps, 1);
      void stopAgent(deps, { signal });
    });
  }
}

/** Ends the agent in order: answers what is under way, as `running` where a command is. `cause` goes into the log. */
export async function stopAgent(deps: Stoppable, cause: Readonly<Record<string, string>>): Promise<void> {
  const { shutdown, log, server, stopJobs } = deps;
  log.logger.info({ ...cause, pending: server.pending() }, 'shutting down');
  shutdown.fire();
  server.stopAccepting();
  await stopJobs();
  const deadline = Deadline.after(SHUTDOWN_SECONDS);
  // At least once: the lines of requests that were just answered are logged after their answers.
  do await delay(PENDING_LOOK_MS);
  while (server.pending() > 0 && !deadline.passed);
  log.logger.info({ dropped: server.pending() }, 'stopped');
  await log.flush();
  end(deps, 0);
}

/** Ends the process now. What the log still holds goes first: pino would wait for its reader, without end. */
function end({ log, audit }: Stoppable, code: number): never {
  audit?.close();
  log.drop();
  process.exit(code);
}
