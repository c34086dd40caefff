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
import type { SignedPlan } from '../access/plan.ts';
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
import { describeVerdict, EXIT_NOT_RUN, NOT_STARTED, sizesOf, writeNotRun } from './ending.ts';
import type { Hold } from './hold.ts';
import { detailsOf } from './launch.ts';

/** What proposals need. */
export interface ProposalDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly access: Access;
  readonly trail: Trail;
  readonly freeze: Freeze;
  /** Called for each request, in addition to the record; undefined: no notification. */
  readonly notify: Announce | undefined;
  /** The user that commands run as. */
  readonly user: string;
}

/** A command that waits for a decision. */
interface Proposal {
  readonly session: Session;
  readonly output: OutputDescriptors;
  readonly command: NewCommand;
  readonly decision: Decision;
  readonly request: ApprovalRequest;
  /** The profile of its token at the time of the request. */
  readonly profile: Profile;
  /** Whether its directory existed then. */
  readonly isFound: boolean;
}

/** How often the token of a waiting command is checked. */
const LOOK_MS = 1000;

/** Commands that do not run at once: those that rules deny, and those that wait for a person. */
export class Proposals {
  constructor(
    private readonly deps: ProposalDeps,
    private readonly commands: Commands,
    private readonly approvals: Approvals,
  ) {}

  /** Returns why nobody can be asked; undefined if somebody can. */
  fault(): string | undefined {
    return this.approvals.fault();
  }

  /** Makes a session for a command that is not run. Throws `MachineRefused`. */
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
   * Makes a session whose command runs when a person has approved it. If nobody can be asked, it ends as denied. Throws
   * `TooManyRequests` if too many wait, `Conflict` if it is no part of the plan that it names, and `MachineRefused`.
   */
  ask(command: NewCommand, decision: Decision, profile: Profile): Session {
    const fault = this.approvals.fault();
    if (fault !== undefined) {
      const reason = `${decision.reason}; a person has to approve it, but this server cannot ask one (${fault})`;
      return this.refuse(command, { ...decision, reason });
    }
    const { principal } = command;
    if (this.approvals.count >= MAX_WAITING || this.approvals.countOf(principal) >= MAX_WAITING_PER_TOKEN)
      throw new TooManyRequests(
        30,
        `${this.approvals.count} commands already wait for approval, ${this.approvals.countOf(principal)} of them of this token. Wait for those first, or withdraw one with kill_session.`,
      );
    const proposal = this.#propose(command, decision, profile, command.plan?.());
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

  #propose(command: NewCommand, decision: Decision, profile: Profile, plan: SignedPlan | undefined): Proposal {
    // A link may lead elsewhere by the time of the decision.
    const real = realDirectory(command.cwd);
    const asked = { ...command, cwd: real ?? command.cwd };
    const { session, output } = this.deps.store.create(detailsOf(asked));
    const request = { ...this.#requestOf(session, asked, decision), ...(plan !== undefined && { plan }) };
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
    // An approval is on record before the command starts.
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

  /** Returns why a command would not run any more: its token is gone, or its profile has changed since the request. */
  #lapse({ command, profile }: Proposal): string | undefined {
    try {
      const now = this.deps.access.profileFor(command.principal);
      const isSame = now.name === profile.name && now.source === profile.source && now.isLook === profile.isLook;
      return isSame ? undefined : 'the profile of its token was changed';
    } catch (error) {
      if (!(error instanceof AccessLapsed)) return faultOf(error);
      return error.gone === 'token' ? 'its token has ended' : 'the profile of its token does not exist any more';
    }
  }

  /** Throws `MachineRefused` if what was approved is not what would run now. */
  #revalidate(proposal: Proposal): void {
    const { command, isFound } = proposal;
    const why = this.#lapse(proposal);
    if (why !== undefined) throw new MachineRefused(`${why} meanwhile`, undefined);
    const real = realDirectory(command.cwd);
    if (isFound && real === undefined)
      throw new MachineRefused(`the directory ${command.cwd} does not exist any more`, undefined);
    if (real !== undefined && real !== command.cwd)
      throw new MachineRefused(`the directory ${command.cwd} is a link now`, new Error(real));
  }

  /** Starts an approved command. */
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
      // No call waits for its answer: its exit code is kept on disk.
      await this.commands.startIn(session, output, { ...command, keepsExitCode: true, revalidate });
    } catch (error) {
      // The failed start has closed its output.
      this.#end(session, undefined, { ...decision, ...deny(notStarted(error)) }, NOT_STARTED);
    }
  }

  /** Performs an approved file operation, and writes its result as output. */
  async #perform(session: Session, output: OutputDescriptors, file: FileProposal, by: string): Promise<void> {
    let fault: string | undefined;
    try {
      writeSync(output.stdout, await file.perform(session, by));
    } catch (error) {
      fault = faultOf(error);
      writeNotRun(session, fault);
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

  /** Ends a session whose command has not run, with the reason on its standard error. */
  #end(session: Session, output: OutputDescriptors | undefined, decision: Decision, action = 'deny'): void {
    writeNotRun(session, decision.reason);
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

/** Denies the whole command for a reason. */
function deny(reason: string): Pick<Decision, 'action' | 'reason' | 'part'> {
  return { action: 'deny', reason, part: '' };
}

/** Returns the real path of a directory; undefined if that is unknown, which its start will report. */
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

const notStarted = (error: unknown): string => `it was approved, but could not be started: ${faultOf(error)}`;

function faultOf(error: unknown): string {
  return error instanceof AgentError ? (error.hint ?? error.error) : String(error);
}
