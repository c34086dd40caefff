import { Deadline, delay, type OneShotEvent } from '../lib/clock.ts';
import type { Log } from './log.ts';

/** The part of an agent that accepts calls. */
export interface Listening {
  pending(): number;
  /** Accepts no new connections; open ones continue. */
  stopAccepting(): void;
}

interface Stoppable {
  readonly shutdown: OneShotEvent;
  readonly log: Log;
  readonly server: Listening;
  readonly audit: { close(): void } | undefined;
  stopJobs(): Promise<void>;
}

/** Longest shutdown. Answers that are not sent by then are dropped. */
const SHUTDOWN_SECONDS = 9;

/** Interval of counting running requests during shutdown: Bun has no event for it. */
const PENDING_LOOK_MS = 20;

/** Shuts the agent down on SIGTERM and SIGINT; a second signal ends it at once. Commands continue by themselves. */
export function stopOnSignals(deps: Stoppable): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (deps.shutdown.fired) end(deps, 1);
      void stopAgent(deps, { signal });
    });
  }
}

/** Shuts the agent down: answers running calls, with `running` for their commands. `cause` goes into the log. */
export async function stopAgent(deps: Stoppable, cause: Readonly<Record<string, string>>): Promise<void> {
  const { shutdown, log, server, stopJobs } = deps;
  log.logger.info({ ...cause, pending: server.pending() }, 'shutting down');
  shutdown.fire();
  server.stopAccepting();
  await stopJobs();
  const deadline = Deadline.after(SHUTDOWN_SECONDS);
  // At least once, because log lines are written after their answers.
  do await delay(PENDING_LOOK_MS);
  while (server.pending() > 0 && !deadline.passed);
  log.logger.info({ dropped: server.pending() }, 'stopped');
  await log.flush();
  end(deps, 0);
}

/** Ends the process now. Drops the lines in memory first: pino would wait for the reader for ever. */
function end({ log, audit }: Stoppable, code: number): never {
  audit?.close();
  log.drop();
  process.exit(code);
}
