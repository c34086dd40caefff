import type { Commands } from '../commands/commands.ts';
import type { Proposals } from '../commands/proposals.ts';
import type { Clock } from '../lib/clock.ts';
import type { Gate } from '../process/gate.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { PolicyDeps } from './policy.ts';

/** What operations work with. */
export interface OperationDeps extends PolicyDeps {
  /** How this program is started again, for work that needs a process of its own. */
  readonly ownArgv: readonly string[];
  /** The user that commands run as. */
  readonly user: string;
  /** The working directory of a command that names none. */
  readonly home: string;
  /** The agent's own files and directories, which no sandbox shows. */
  readonly ownPaths: readonly string[];
  readonly clock: Clock;
  readonly store: SessionStore;
  readonly commands: Commands;
  readonly gate: Gate;
  readonly proposals: Proposals;
}
