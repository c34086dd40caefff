import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import {
  type ApprovalDecision,
  type ApprovalRequest,
  clearDecisions,
  digestOf,
  distrust,
  readRequests,
  requestsDirectory,
  takeAway,
  writeDecision,
} from '../access/approval-request.ts';
import { describeRequest, questionOn } from '../access/approval-text.ts';
import { APPROVAL_SECONDS } from '../access/approvals.ts';
import { currentFreeze, readFreezes } from '../access/freeze.ts';
import { unreadable } from '../install/doctor/profile-machine.ts';
import { readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { delay, waitFor } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { readPlainFile } from '../sessions/record.ts';
import { processEnvironment } from '../settings/environment.ts';
import { cannotRead, EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { approvalDirectories } from './here.ts';

/** `agent3 approval`: the commands that wait for approval. */
export function defineApproval(approval: Command): void {
  approval.addHelpText('after', HELP);
  approval
    .command('list')
    .description('List the commands that wait for approval')
    .option('--json', 'print JSON, with everything that would run')
    .action(({ json }) => {
      const requests = waiting();
      if (json === true) return printJson(requests.map(withDigest));
      if (requests.length === 0) process.stderr.write('nothing waits for approval\n');
      for (const request of requests) process.stdout.write(`${describeRequest(request)}\n`);
    });
  approval
    .command('show <id>')
    .description('Show one request in full')
    .option('--json', 'print JSON, with everything that would run')
    .action((id, { json }) => {
      const request = requireRequest(id);
      if (json === true) printJson(withDigest(request));
      else process.stdout.write(describeRequest(request));
    });
  approval
    .command('approve <id>')
    .description('Approve a command, which then runs once, exactly as shown')
    .option('--digest <hex>', 'approve only the request with this digest, without asking')
    .action(approve);
  approval
    .command('deny <id>')
    .description('Deny a command, which then does not run')
    .option('--why <text>', 'reason, shown to the model', '')
    .action(deny);
  approval.command('watch').description('Show each new request, with a bell, until Ctrl-C').action(watchApprovals);
}

const HELP = `
Only root may decide, so that no command of the agent can approve another. approve shows the command and asks.
In a script, --digest names the request that a person has seen. An id may be shortened to its beginning.

Examples:
  sudo agent3 approval list
  sudo agent3 approval approve 01a20ced-f233
  sudo agent3 approval approve 01a20ced-f233 --digest 9f86d081884c7d65…
  sudo agent3 approval deny 01a20ced-f233 --why 'not before the backup'
  sudo agent3 approval watch`;

function withDigest(request: ApprovalRequest) {
  return { ...request, digest: digestOf(request) };
}

function printJson(value: unknown): void {
  process.stdout.write(`${visibleJson(value)}\n`);
}

async function approve(id: string, { digest }: { readonly digest?: string | undefined }): Promise<void> {
  requireRoot('approve', id);
  const request = requireRequest(id);
  if (digest !== undefined && digest.toLowerCase() !== digestOf(request))
    fail(EXIT_FAILURE, 'the request has another digest. To see it again: agent3 approval show');
  if (digest === undefined) confirm(request);
  await decideOn(request, 'approve', '');
}

async function deny(id: string, { why }: { readonly why: string }): Promise<void> {
  requireRoot('deny', id);
  await decideOn(requireRequest(id), 'deny', why);
}

function confirm(request: ApprovalRequest): void {
  if (!process.stdin.isTTY) {
    fail(EXIT_USAGE, 'there is no terminal to ask on. Give --digest, with the digest that agent3 approval show prints');
  }
  const shown = describeRequest(request);
  process.stdout.write(shown);
  if (!/^y(es)?$/i.test(prompt(questionOn(request, shown))?.trim() ?? '')) fail(EXIT_FAILURE, 'nothing was decided');
}

function requireRoot(verdict: string, id: string): void {
  if (process.geteuid?.() !== 0) fail(EXIT_USAGE, `only root may decide: sudo agent3 approval ${verdict} ${id}`);
}

function requireRequest(id: string): ApprovalRequest {
  const found = waiting().filter(({ session }) => session.startsWith(id.toLowerCase()));
  const [request] = found;
  if (request === undefined) fail(EXIT_FAILURE, `no request has this id. To see them: agent3 approval list`);
  if (found.length > 1) fail(EXIT_FAILURE, `${found.length} requests begin with this id. Give more of it`);
  return request;
}

/** Writes a decision for the agent, and waits until the agent has taken it. */
async function decideOn(request: ApprovalRequest, verdict: 'approve' | 'deny', why: string): Promise<void> {
  const { decisions, sessions } = approvalDirectories();
  const fault = distrust(decisions);
  if (fault !== undefined) fail(EXIT_FAILURE, `${fault}. It must be a directory that only root may write to`);
  const { SUDO_USER, LOGNAME } = processEnvironment();
  const by = (SUDO_USER ?? LOGNAME ?? 'root').slice(0, 100);
  const path = join(requestsDirectory(sessions), `${request.session}.json`);
  // Another person may have decided meanwhile.
  if (!existsSync(path)) fail(EXIT_FAILURE, 'it no longer waits. To see what happened: agent3 audit tail');
  leave(decisions, { session: request.session, digest: digestOf(request), verdict, why: why.slice(0, 500), by });
  clearDecisions(decisions, Date.now() - 2 * APPROVAL_SECONDS * 1000);
  const isGone = () => !existsSync(path) || undefined;
  if (!(await waitFor(isGone, TAKEN_SECONDS, LOOK_MS))) {
    // A decision that was reported as failed must not take effect later.
    takeAway(decisions, request.session);
    if (!(await waitFor(isGone, LAST_SECONDS, LOOK_MS))) fail(EXIT_FAILURE, notTaken(decisions));
  }
  takeAway(decisions, request.session);
  // It starts at the thaw.
  const isHeld = verdict === 'approve' && currentFreeze(readFreezes(decisions)) !== undefined;
  const after = isHeld ? undefined : await recordAfter(join(sessions, request.session, 'meta.json'));
  const isDenied = after === undefined ? verdict === 'deny' : after.status === 'denied';
  if (verdict === 'approve' && isDenied)
    fail(EXIT_FAILURE, `it was approved, but did not run: ${visibleLine(after?.decision?.reason ?? '')}`);
  if (verdict === 'deny' && !isDenied) fail(EXIT_FAILURE, 'it runs: it was approved before you denied it');
  const approved = isHeld ? 'approved: it runs when the server is thawed (sudo agent3 thaw)\n' : 'approved: it runs\n';
  process.stdout.write(verdict === 'approve' ? approved : 'denied\n');
}

function notTaken(decisions: string): string {
  const unread = unreadable(decisions, readManifest(PATHS.manifest)?.user);
  const why =
    unread === undefined ? 'it does not run, or never asked for this (agent3 doctor)' : `${decisions}: ${unread}`;
  return `the agent did not take the decision, so it was withdrawn and nothing is decided: ${why}`;
}

interface Said {
  readonly status?: string;
  readonly decision?: { readonly reason?: string; readonly by?: string };
}

/** Returns the record of a session that no longer waits; undefined when the agent does not write it in time. */
function recordAfter(path: string): Promise<Said | undefined> {
  const look = (): Said | undefined => {
    try {
      const said = JSON.parse(readPlainFile(path).toString('utf8')) as Said;
      return said.status === 'waiting' ? undefined : said;
    } catch {
      // It is not written yet, or the session was closed.
      return undefined;
    }
  };
  return waitFor(look, TAKEN_SECONDS, LOOK_MS);
}

const LOOK_MS = 100;
/** Within this time, the agent takes a decision and removes its request. */
const TAKEN_SECONDS = 5;
/** Additional time for a decision that is taken at the last moment. */
const LAST_SECONDS = 0.5;

function leave(directory: string, decision: ApprovalDecision): void {
  try {
    writeDecision(directory, decision);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') fail(EXIT_FAILURE, 'somebody has already decided on it');
    fail(EXIT_FAILURE, `${directory} cannot be written: ${describeErrno(error)}`);
  }
}

const WATCH_MS = 500;

async function watchApprovals(): Promise<never> {
  let known = new Map<string, ApprovalRequest>();
  process.stderr.write('waiting for commands that need approval (Ctrl-C to stop)\n');
  for (;;) {
    const now = new Map(waiting().map((request) => [request.session, request]));
    for (const [session, request] of now) {
      if (!known.has(session)) process.stdout.write(`\u0007${describeRequest(request)}\n`);
    }
    for (const session of known.keys()) {
      if (!now.has(session)) process.stdout.write(`${session}  ${await outcomeOf(session)}\n\n`);
    }
    known = now;
    await delay(WATCH_MS);
  }
}

async function outcomeOf(session: string): Promise<string> {
  const after = await recordAfter(join(approvalDirectories().sessions, session, 'meta.json'));
  if (after === undefined) return 'no longer waits';
  const { status, decision } = after;
  if (status === 'denied') return `denied: ${visibleLine(decision?.reason ?? '')}`;
  return `runs: approved${decision?.by ? ` by ${visibleLine(decision.by)}` : ''}`;
}

function waiting(): ApprovalRequest[] {
  const directory = requestsDirectory(approvalDirectories().sessions);
  try {
    return readRequests(directory, Date.now());
  } catch (error) {
    fail(EXIT_FAILURE, cannotRead(directory, error));
  }
}
