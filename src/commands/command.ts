import type { ApprovalRequest } from '../access/approval-request.ts';
import type { Freeze } from '../access/freeze.ts';
import type { Trail } from '../audit/trail.ts';
import type { Contexts } from '../contexts/contexts.ts';
import type { HeldContext } from '../contexts/held-context.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Turns } from '../lib/shares.ts';
import type { CommandCgroups } from '../process/cgroup.ts';
import type { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import type { Account } from '../process/environment.ts';
import type { TerminalSize } from '../process/terminal.ts';
import type { NewSession } from '../sessions/record.ts';
import type { Reopened } from '../sessions/reopened.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { DialogStep } from './dialog.ts';
import type { Isolation } from './isolation.ts';
import type { Timings } from './timings.ts';

/** The limits that hold for every command. */
export interface CommandSettings {
  readonly shell: string;
  readonly killGraceSeconds: number;
  readonly maxSessionBytes: number;
}

/** What commands run with. */
export interface CommandDeps {
  /** How this program is started again, for work that needs a process of its own. */
  readonly ownArgv: readonly string[];
  readonly settings: CommandSettings;
  readonly account: Account;
  readonly store: SessionStore;
  readonly contexts: Contexts;
  readonly slots: ConcurrencyLimiter;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is started and how it ends goes on record. */
  readonly trail: Trail;
  /** Sees which commands open their own streams again. */
  readonly reopened: Reopened;
  /** Keeps when commands write what. */
  readonly timings: Timings;
  /** Takes the secrets from words of a command. */
  readonly mask: (words: string) => string;
  /** Where commands get cgroups of their own; undefined: they share the agent's. */
  readonly cgroups: CommandCgroups | undefined;
  /** Nothing is started while the owner has frozen the server. */
  readonly freeze: Freeze;
}

/** An operation on a file that waits for a person in the place of a command. */
export interface FileProposal {
  /** What would change; undefined: nothing. */
  readonly asked: ApprovalRequest['file'];
  /** Does it, when it was approved; gives what there is to say of it. Throws where it cannot be made any more. */
  readonly perform: (session: Session, by: string) => Promise<string>;
}

/** A command to run, and the session it gets. */
export interface NewCommand extends Omit<NewSession, 'input' | 'size' | 'file_max' | 'context'> {
  readonly env: Readonly<Record<string, string>>;
  /** What the command reads first; it is all there is when `input` is `closed`. */
  readonly stdin: string;
  /** Whether its input stays open, for `write_session`. */
  readonly input: 'closed' | 'pipe' | 'terminal';
  /** Of the terminal. */
  readonly size: TerminalSize;
  /** What its profile holds it in; undefined: nothing. */
  readonly isolation?: Isolation;
  /** The context that its shell begins with and leaves to the next one. */
  readonly held?: HeldContext;
  /** What is typed into it when it asks. */
  readonly dialog?: readonly DialogStep[];
  /** It is no command but this. */
  readonly file?: FileProposal;
  /** Its exit code goes on disk as well: it may end under a later agent, whose child it is not. */
  readonly keepsExitCode: boolean;
  /** Throws when it may not be started any more; asked when its start had to wait for the disk. */
  readonly revalidate: () => void;
}
