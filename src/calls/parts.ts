import type { Access } from '../access/access.ts';
import type { Trail } from '../audit/trail.ts';
import type { Commands } from '../commands/commands.ts';
import type { Proposals } from '../commands/proposals.ts';
import type { Clock } from '../lib/clock.ts';
import type { Turns } from '../lib/turns.ts';
import type { Gate } from '../process/gate.ts';
import type { KnownSecrets } from '../secrets/secrets.ts';
import type { SessionStore } from '../sessions/store.ts';

/** The limits that operations hold their answers and arguments to. */
export interface OperationLimits {
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  readonly maxBackgroundSeconds: number;
  readonly onTimeout: 'kill' | 'background';
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxRunningPerToken: number;
}

/** What operations work with. */
export interface OperationParts {
  readonly limits: OperationLimits;
  /** How this program is started again, for work that needs a process of its own. */
  readonly ownArgv: readonly string[];
  /** The user that commands run as. */
  readonly user: string;
  /** The working directory of a command that names none. */
  readonly home: string;
  /** What the bearer of a token may do. */
  readonly access: Access;
  /** The agent's own files and directories, which no sandbox shows. */
  readonly ownPaths: readonly string[];
  /** The agent's own tokens and secrets, which no answer of a profile that masks shows. */
  readonly secrets: KnownSecrets;
  readonly clock: Clock;
  readonly store: SessionStore;
  readonly commands: Commands;
  readonly gate: Gate;
  /** What the work that a client makes long waits for, piece by piece. */
  readonly turns: Turns;
  readonly proposals: Proposals;
  readonly trail: Trail;
}
