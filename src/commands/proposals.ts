import { appendFileSync, closeSync, realpathSync } from 'node:fs';
import type { Access } from '../access/access.ts';
import type { ApprovalRequest } from '../access/approval-request.ts';
import {
  APPROVAL_SECONDS,
  type Approvals,
  MAX_WAITING,
  MAX_WAITING_PER_TOKEN,
  type Verdict,
} from '../access/approvals.ts';
import type { Trail } from '../audit/trail.ts';
import type { Clock } from '../lib/clock.ts';
import { AccessLapsed, AgentError, MachineRefused, TooManyRequests } from '../lib/errors.ts';
import type { Decision } from '../rules/ruleset.ts';
import { keptDecision } from '../sessions/kept.ts';
import type { Session } from '../sessions/session.ts';
import type { OutputDescriptors, SessionStore } from '../sessions/store.ts';
import { detailsOf, type NewCommand } from './command.ts';
import type { Commands } from './commands.ts';
import { EXIT_NOT_RUN } from './ending.ts';
import { NOT_STARTED } from './not-begun.ts';

/** What proposals work with. */
export interface ProposalParts {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly access: Access;
  readonly trail: Trail;
  /** The user that commands run as. */
  readonly user: string;
}

/** Commands that are not simply run: those that rules deny, and those that wait for a person. */
export class Proposals {
  constructor(
    private readonly parts: ProposalParts,
    private readonly commands: Commands,
    private readonly approvals: Approvals,
  ) {}

  /** A session of a command that is not run. Throws `MachineRefused`. */
  refuse(command: NewCommand, decision: Decision): Session {
    const { session, output } = this.parts.store.create(detailsOf(command));
    try {
      this.parts.trail.denied(session, command.cmd, decision.reason, decision.rule);
    } catch (error) {
      this.#discard(session, output);
      throw error;
    }
    this.#end(session, output, { ...decision, action: 'deny' });
    return session;
  }

  /**
   * A session whose command runs when a person has approved it; where nobody can be asked, it ends as denied. Throws
   * `TooManyRequests` when too many wait, and `MachineRefused`.
   */
  ask(command: NewCommand, decision: Decision): Session {
    const fault = this.approvals.fault();
    if (fault !== undefined) {
      const reason = `${decision.reason}; a person would have to approve it, and this server has no way for that (${fault})`;
      return this.refuse(command, { ...decision, reason });
    }
    const { principal } = command;
    if (this.approvals.count >= MAX_WAITING || this.approvals.countOf(principal) >= MAX_WAITING_PER_TOKEN)
      throw new TooManyRequests(
        30,
        `${this.approvals.count} commands wait for approval already, ${this.approvals.countOf(principal)} of them of this token. Wait for those first, or take one back with kill_session.`,
      );
    const { source } = this.parts.access.profileFor(principal);
    const lapse = (): string | undefined => this.#lapse(command, source);
    // A link may lead elsewhere by the time that somebody has decided.
    const real = realDirectory(command.cwd);
    const asked = { ...command, cwd: real ?? command.cwd };
    const { session, output } = this.parts.store.create(detailsOf(asked));
    const release = this.commands.hold(session, (why) => this.approvals.withdraw(session.id, why));
    try {
      session.update({ status: 'waiting', decision: decisionOf(decision, session.record.cmd) });
      const settle = (verdict: Verdict): void => {
        const proposed = { ...asked, isFound: real !== undefined };
        void this.#settle(session, output, proposed, decision, lapse, verdict).finally(release);
      };
      this.approvals.ask(this.#requestOf(session, asked, decision), settle, lapse);
    } catch (error) {
      release();
      this.#discard(session, output);
      throw new MachineRefused('The request for approval could not be stored, so nothing was run.', error);
    }
    return session;
  }

  #discard(session: Session, output: OutputDescriptors): void {
    for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    this.parts.store.discard(session);
  }

  #requestOf(session: Session, command: NewCommand, { reason, part }: Decision): ApprovalRequest {
    const { principal, cmd, cwd, env, stdin, input, execution_seconds, address, profile, confinement } = command;
    const now = this.parts.clock.now();
    return {
      session: session.id,
      token: principal,
      address: address ?? '',
      profile: profile ?? '',
      user: confinement?.account?.name ?? this.parts.user,
      cmd,
      cwd,
      env: { ...env },
      stdin,
      input,
      limit_seconds: execution_seconds,
      reason,
      part,
      asked_at: now,
      expires_at: now + APPROVAL_SECONDS * 1000,
    };
  }

  /** Why a command would not be run any more: its token is gone, or its profile is not the one that was asked about. */
  #lapse({ principal, profile }: NewCommand, source: string): string | undefined {
    const { access } = this.parts;
    try {
      const now = access.profileFor(principal);
      return now.name === profile && now.source === source ? undefined : 'the profile of its token was changed';
    } catch (error) {
      if (!(error instanceof AccessLapsed)) return faultOf(error);
      return error.gone === 'token' ? 'its token has ended' : 'the profile of its token is not there any more';
    }
  }

  async #settle(
    session: Session,
    output: OutputDescriptors,
    { isFound, ...command }: NewCommand & { readonly isFound: boolean },
    decision: Decision,
    lapse: () => string | undefined,
    verdict: Verdict,
  ): Promise<void> {
    if (verdict.kind !== 'approved') {
      this.#end(session, output, { ...decision, ...deny(wordsOf(decision, verdict)) }, verdict.kind);
      return;
    }
    const revalidate = (): void => {
      const why = lapse();
      if (why !== undefined) throw new MachineRefused(`${why} meanwhile`, undefined);
      const real = realDirectory(command.cwd);
      if (isFound && real === undefined)
        throw new MachineRefused(`the directory ${command.cwd} is not there any more`, undefined);
      if (real !== undefined && real !== command.cwd)
        throw new MachineRefused(`the directory ${command.cwd} is a link by now`, new Error(real));
    };
    try {
      revalidate();
      session.update({
        status: 'running',
        started_at: this.parts.clock.now(),
        decision: { ...decisionOf(decision, session.record.cmd), action: 'approved', by: verdict.by },
      });
    } catch (error) {
      this.#end(session, output, { ...decision, ...deny(notStarted(error)) }, NOT_STARTED);
      return;
    }
    try {
      // Nobody waits for its answer: its exit code is kept on disk.
      await this.commands.startIn(session, output, { ...command, keepsExitCode: true, revalidate });
    } catch (error) {
      this.#end(session, undefined, { ...decision, ...deny(notStarted(error)) }, NOT_STARTED);
    }
  }

  /** Ends a session whose command has not run, with the reason where a shell would write it. */
  #end(session: Session, output: OutputDescriptors | undefined, decision: Decision, action = 'deny'): void {
    tellNotRun(session, decision.reason);
    if (output !== undefined) for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    const now = this.parts.clock.now();
    this.commands.conclude(session, {
      status: 'denied',
      exit_code: EXIT_NOT_RUN,
      ended_at: now,
      duration_ms: Math.max(0, now - session.record.started_at),
      stdout_bytes: session.sizeOf('stdout'),
      stderr_bytes: session.sizeOf('stderr'),
      decision: { ...decisionOf(decision, session.record.cmd), action },
    });
  }
}

/** Writes the reason where a shell would. */
export function tellNotRun(session: Session, reason: string): void {
  try {
    appendFileSync(session.path('stderr'), `agent3: not run: ${reason}\n`);
  } catch {
    // The disk is full; the answer has the reason as well.
  }
}

/** For a reason that is about all of the command. */
function deny(reason: string): Pick<Decision, 'action' | 'reason' | 'part'> {
  return { action: 'deny', reason, part: '' };
}

/** Where a directory really is; undefined where it cannot be told, which its start will say. */
export function realDirectory(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function decisionOf({ action, reason, part, rule }: Decision, cmd: string) {
  const isPart = part !== '' && part !== cmd.trim();
  return keptDecision({ action, reason, ...(isPart && { part }), ...(rule !== undefined && { rule }) });
}

function wordsOf({ reason }: Decision, { kind, why, by }: Verdict): string {
  switch (kind) {
    case 'denied':
      return `${by || 'the owner'} denied it${why === '' ? '' : `: ${why}`}`;
    case 'tampered':
      return why;
    case 'expired':
      return `it needed approval (${reason}), and ${why}`;
    default:
      return `it waited for approval (${reason}), and ${why}`;
  }
}

function notStarted(error: unknown): string {
  return `it was approved, and could not be started: ${faultOf(error)}`;
}

function faultOf(error: unknown): string {
  return error instanceof AgentError ? (error.hint ?? error.error) : String(error);
}
