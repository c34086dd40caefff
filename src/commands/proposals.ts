import { closeSync, realpathSync, writeSync } from 'node:fs';
import type { Access } from '../access/access.ts';
import type { ApprovalRequest } from '../access/approval-request.ts';
import {
  type Announce,
  APPROVAL_SECONDS,
  type Approvals,
  MAX_WAITING,
  MAX_WAITING_PER_TOKEN,
  type Verdict,
} from '../access/approvals.ts';
import type { Freeze } from '../access/freeze.ts';
import type { Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import { describeItems } from '../contexts/held-context.ts';
import type { Clock } from '../lib/clock.ts';
import { AccessLapsed, AgentError, MachineRefused, TooManyRequests } from '../lib/errors.ts';
import type { Decision } from '../rules/rule.ts';
import type { OutputDescriptors } from '../sessions/directories.ts';
import { keptDecision, keptText } from '../sessions/kept.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { FileProposal, NewCommand } from './command.ts';
import type { Commands } from './commands.ts';
import { describeVerdict, EXIT_NOT_RUN, NOT_STARTED, sizesOf, tellNotRun } from './ending.ts';
import type { Hold } from './hold.ts';
import { detailsOf } from './launch.ts';

/** What proposals work with. */
export interface ProposalDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly access: Access;
  readonly trail: Trail;
  readonly freeze: Freeze;
  /** Told of each request, beside the record; undefined: nobody is. */
  readonly notify: Announce | undefined;
  /** The user that commands run as. */
  readonly user: string;
}

/** A command that a person is asked about. */
interface Proposal {
  readonly session: Session;
  readonly output: OutputDescriptors;
  readonly command: NewCommand;
  readonly decision: Decision;
  readonly request: ApprovalRequest;
  /** That of its token when it was asked about. */
  readonly profile: Profile;
  /** Its directory was there then. */
  readonly isFound: boolean;
}

/** How often the token of a command that waits is looked at. */
const LOOK_MS = 1000;

/** Commands that are not simply run: those that rules deny, and those that wait for a person. */
export class Proposals {
  constructor(
    private readonly deps: ProposalDeps,
    private readonly commands: Commands,
    private readonly approvals: Approvals,
  ) {}

  /** Why nobody can be asked, in words; undefined when somebody can. */
  fault(): string | undefined {
    return this.approvals.fault();
  }

  /** A session of a command that is not run. Throws `MachineRefused`. */
  refuse(command: NewCommand, decision: Decision): Session {
    const { session, output } = this.deps.store.create(detailsOf(command));
    try {
      this.deps.trail.denied(session, command.cmd, decision.reason, decision.rule);
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
  ask(command: NewCommand, decision: Decision, profile: Profile): Session {
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
    const proposal = this.#propose(command, decision, profile);
    const { session, output, request } = proposal;
    const hold = this.commands.hold(session);
    try {
      session.update({ status: 'waiting', decision: decisionOf(decision, session.record.cmd) });
      const asked = this.approvals.ask(request, hold.signal);
      this.#announce(request, undefined);
      void this.#whenDecided(proposal, asked, hold);
    } catch (error) {
      hold[Symbol.dispose]();
      this.#discard(session, output);
      throw new MachineRefused('The request for approval could not be stored, so nothing was run.', error);
    }
    return session;
  }

  #propose(command: NewCommand, decision: Decision, profile: Profile): Proposal {
    // A link may lead elsewhere by the time that somebody has decided.
    const real = realDirectory(command.cwd);
    const asked = { ...command, cwd: real ?? command.cwd };
    const { session, output } = this.deps.store.create(detailsOf(asked));
    const request = this.#requestOf(session, asked, decision);
    return { session, output, command: asked, decision, request, profile, isFound: real !== undefined };
  }

  /** Waits for a person, and does what was decided. */
  async #whenDecided(proposal: Proposal, asked: Promise<Verdict>, hold: Hold): Promise<void> {
    using _held = hold;
    const looks = setInterval(() => {
      const why = this.#lapse(proposal);
      if (why !== undefined) void hold.withdraw(why);
    }, LOOK_MS);
    const decided = await asked;
    // On record, a command is approved before it starts.
    this.#announce(proposal.request, decided);
    if (decided.kind === 'approved') await this.deps.freeze.thawed(hold.signal);
    clearInterval(looks);
    const isBack = decided.kind === 'approved' && hold.signal.aborted;
    const verdict: Verdict = isBack ? { kind: 'withdrawn', why: String(hold.signal.reason), by: '' } : decided;
    if (verdict.kind === 'approved') await this.#start(proposal, verdict.by);
    else this.#endProposal(proposal, describeVerdict(proposal.decision, verdict), verdict.kind);
  }

  #announce(request: ApprovalRequest, verdict: Verdict | undefined): void {
    this.deps.trail.approval(request, verdict);
    this.deps.notify?.(request, verdict);
  }

  #discard(session: Session, output: OutputDescriptors): void {
    for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    this.deps.store.discard(session);
  }

  #requestOf(session: Session, command: NewCommand, { reason, part, allowable }: Decision): ApprovalRequest {
    const { principal, cmd, cwd, env, stdin, input, execution_seconds, address, profile, isolation, held } = command;
    const { file, dialog, via } = command;
    const now = this.deps.clock.now();
    return {
      ...(via !== undefined && { server: via.server }),
      session: session.id,
      token: principal,
      address: address ?? '',
      profile: profile ?? '',
      user: isolation?.account?.name ?? this.deps.user,
      cmd,
      cwd,
      env: { ...env },
      stdin,
      ...(file?.asked !== undefined && { file: file.asked }),
      ...(held !== undefined && {
        context: { name: held.name, sha256: held.sha256, brings: describeItems(held.items) },
      }),
      ...(dialog !== undefined && {
        dialog: dialog.map(({ expect, send }) => ({ expect, send })),
      }),
      input,
      limit_seconds: execution_seconds,
      ...{ reason, part },
      ...(allowable !== undefined && { allowable }),
      asked_at: now,
      salt: crypto.randomUUID(),
      expires_at: now + APPROVAL_SECONDS * 1000,
    };
  }

  /** Why a command would not be run any more: its token is gone, or its profile is not the one that was asked about. */
  #lapse({ command, profile }: Proposal): string | undefined {
    try {
      const now = this.deps.access.profileFor(command.principal);
      const isSame = now.name === profile.name && now.source === profile.source && now.isLook === profile.isLook;
      return isSame ? undefined : 'the profile of its token was changed';
    } catch (error) {
      if (!(error instanceof AccessLapsed)) return faultOf(error);
      return error.gone === 'token' ? 'its token has ended' : 'the profile of its token is not there any more';
    }
  }

  /** Throws `MachineRefused` when what was approved is not what would run now. */
  #revalidate(proposal: Proposal): void {
    const { command, isFound } = proposal;
    const why = this.#lapse(proposal);
    if (why !== undefined) throw new MachineRefused(`${why} meanwhile`, undefined);
    const real = realDirectory(command.cwd);
    if (isFound && real === undefined)
      throw new MachineRefused(`the directory ${command.cwd} is not there any more`, undefined);
    if (real !== undefined && real !== command.cwd)
      throw new MachineRefused(`the directory ${command.cwd} is a link by now`, new Error(real));
  }

  /** Starts a command that somebody has approved. */
  async #start(proposal: Proposal, by: string): Promise<void> {
    const { session, output, command, decision } = proposal;
    try {
      this.#revalidate(proposal);
      session.update({
        status: 'running',
        started_at: this.deps.clock.now(),
        decision: { ...decisionOf(decision, session.record.cmd), action: 'approved', by },
      });
    } catch (error) {
      this.#endProposal(proposal, notStarted(error), NOT_STARTED);
      return;
    }
    if (command.file !== undefined) return await this.#perform(session, output, command.file, by);
    const revalidate = (): void => this.#revalidate(proposal);
    try {
      // Nobody waits for its answer: its exit code is kept on disk.
      await this.commands.startIn(session, output, { ...command, keepsExitCode: true, revalidate });
    } catch (error) {
      // Whoever tried to start it has closed its output.
      this.#end(session, undefined, { ...decision, ...deny(notStarted(error)) }, NOT_STARTED);
    }
  }

  /** Does what somebody has approved with a file, and writes what came of it where a command would. */
  async #perform(session: Session, output: OutputDescriptors, file: FileProposal, by: string): Promise<void> {
    let fault: string | undefined;
    try {
      writeSync(output.stdout, await file.perform(session, by));
    } catch (error) {
      fault = faultOf(error);
      tellNotRun(session, fault);
    }
    for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    const now = this.deps.clock.now();
    this.commands.conclude(session, {
      status: 'done',
      exit_code: fault === undefined ? 0 : 1,
      ...(fault !== undefined && { file_note: keptText(fault.replace(/\.?$/, '.')) }),
      ended_at: now,
      duration_ms: Math.max(0, now - session.record.started_at),
      ...sizesOf(session, true),
    });
  }

  #endProposal({ session, output, decision }: Proposal, reason: string, action: string): void {
    this.#end(session, output, { ...decision, ...deny(reason) }, action);
  }

  /** Ends a session whose command has not run, with the reason where a shell would write it. */
  #end(session: Session, output: OutputDescriptors | undefined, decision: Decision, action = 'deny'): void {
    tellNotRun(session, decision.reason);
    if (output !== undefined) for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    const now = this.deps.clock.now();
    this.commands.conclude(session, {
      status: 'denied',
      exit_code: EXIT_NOT_RUN,
      ended_at: now,
      duration_ms: Math.max(0, now - session.record.started_at),
      ...sizesOf(session, true),
      decision: { ...decisionOf(decision, session.record.cmd), action },
    });
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

const notStarted = (error: unknown): string => `it was approved, and could not be started: ${faultOf(error)}`;

function faultOf(error: unknown): string {
  return error instanceof AgentError ? (error.hint ?? error.error) : String(error);
}
