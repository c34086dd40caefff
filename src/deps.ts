import type { Config } from './config.ts';
import { type Clock, systemClock } from './core/clock.ts';
import { SignalOnce } from './core/signal-once.ts';
import { currentAccount } from './execution/environment.ts';
import { Gate } from './execution/gate.ts';
import type { Logger } from './log/log.ts';
import { Commands } from './operations/commands.ts';
import type { OperationParts } from './operations/parts.ts';
import { SessionStore } from './sessions/store.ts';

/** The real dependencies as one record. Tests build their own. */
export interface Deps extends OperationParts {
  readonly config: Config;
  readonly logger: Logger;
  readonly shutdown: SignalOnce;
}

/** Builds everything the agent works with; touches neither disk nor network. */
export function buildDeps(config: Config, logger: Logger, clock: Clock = systemClock): Deps {
  const account = currentAccount();
  const store = new SessionStore(config.sessionsDirectory, clock);
  const gate = new Gate(config.maxRunning);
  const commands = new Commands({ settings: config, account, store, gate, clock, notices: logger });
  return {
    config,
    logger,
    shutdown: new SignalOnce(),
    limits: config,
    user: account.name,
    home: account.home,
    clock,
    store,
    commands,
  };
}
