import type { ApprovalRequest } from '../access/approval-request.ts';
import type { Freeze } from '../access/freeze.ts';
import type { MayBePlanned } from '../access/plan.ts';
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

/** Limits that apply to every command. */
export interface CommandSettings {
  readonly shell: string;
  readonly killGraceSeconds: number;
  readonly maxSessionBytes: number;
}

/** What commands need. */
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
  /** Records each start and end of a command. */
  readonly trail: Trail;
  /** Finds commands that open their own streams again. */
  readonly reopened: Reopened;
  /** Records when commands write output. */
  readonly timings: Timings;
  /** Masks the secrets in words of a command. */
  readonly mask: (words: string) => string;
  /** The cgroup that contains those of the commands; undefined: they share the agent's. */
  readonly cgroups: CommandCgroups | undefined;
  /** Nothing is started while the owner has frozen the server. */
  readonly freeze: Freeze;
}

/** A file operation that waits for a person, in place of a command. */
export interface FileProposal {
  /** The change; undefined: none. */
  readonly asked: ApprovalRequest['file'];
  /** Performs it after the approval. Returns the text for the session. Throws if it cannot be made any more. */
  readonly perform: (session: Session, by: string) => Promise<string>;
}

/** A command to run, and its session. */
export interface NewCommand extends Omit<NewSession, 'input' | 'size' | 'file_max' | 'context'>, MayBePlanned {
  readonly env: Readonly<Record<string, string>>;
  /** What the command reads first; all of its input if `input` is `closed`. */
  readonly stdin: string;
  /** Whether its input stays open for `write_session`. */
  readonly input: 'closed' | 'pipe' | 'terminal';
  /** The size of the terminal. */
  readonly size: TerminalSize;
  /** The isolation that its profile requires; undefined: none. */
  readonly isolation?: Isolation;
  /** The context in which its shell begins, and which keeps the state of the shell. */
  readonly held?: HeldContext;
  /** What is typed when it asks. */
  readonly dialog?: readonly DialogStep[];
  /** If set, this is done instead of a command. */
  readonly file?: FileProposal;
  /** Whether its exit code is written to the disk as well: it may end under a later agent, whose child it is not. */
  readonly keepsExitCode: boolean;
  /** Throws if the command may not be started any more. Called if its start had to wait for the disk. */
  readonly revalidate: () => void;
}
