import type { ApprovalRequest } from '../access/approval-request.ts';
import { type Answer, type CallContext, contextOf, type OperationDeps, revalidate, SPARE } from '../calls/context.ts';
import type { NewCommand } from '../commands/command.ts';
import { isolationOf } from '../commands/isolation.ts';
import { Deadline } from '../lib/clock.ts';
import { OperationNotAllowed } from '../lib/errors.ts';
import { MAX_WAIT_SECONDS } from '../lib/limits.ts';
import type { Decision } from '../rules/rule.ts';
import { NOTHING_DONE } from './place.ts';

/** How long an approved operation may take. */
const APPROVED_SECONDS = 60;

/** Performs what was approved; `onRecord` says by whom. */
type Perform = (later: CallContext, onRecord: Readonly<Record<string, unknown>>) => Promise<Answer>;

/** Returns the same decision. Throws `OperationNotAllowed` if a person has to be asked, and nobody can be. */
export function approvable({ proposals }: OperationDeps, decision: Decision): Decision {
  const fault = decision.action === 'confirm' ? proposals.fault() : undefined;
  if (fault === undefined) return decision;
  throw new OperationNotAllowed(
    `Nothing was done: ${decision.reason}; a person has to approve it, but this server cannot ask one (${fault}).`,
  );
}

/**
 * Asks a person whether an operation on a file may be done, and answers with the session that waits: its output will be
 * the result. Throws `OperationNotAllowed` if nobody can be asked, and `TooManyRequests`.
 */
export function askAPerson(
  deps: OperationDeps,
  context: CallContext,
  decision: Decision,
  cmd: string,
  asked: ApprovalRequest['file'],
  perform: Perform,
): Answer {
  approvable(deps, decision);
  const { principal, address, via, profile } = context;
  const command: NewCommand = {
    ...{ principal, address, cmd, cwd: '/', env: {}, stdin: '', input: 'closed', key: null },
    size: { rows: 24, cols: 80 },
    execution_seconds: APPROVED_SECONDS,
    keepsExitCode: false,
    revalidate: () => void revalidate(context, NOTHING_DONE),
    profile: profile.name,
    ...(via !== undefined && { via }),
    ...(!profile.isPlain && { isolation: isolationOf(profile, deps.ownPaths) }),
    file: {
      asked,
      perform: async ({ id }, by) => {
        const later = contextOf(deps, { ...context, deadline: Deadline.after(APPROVED_SECONDS) });
        return outputOf(await perform(later, { session: id, approved_by: by }));
      },
    },
  };
  const session = deps.proposals.ask(command, decision, profile);
  return {
    status: 'waiting',
    session: session.id,
    reason: decision.reason,
    message: `Nothing was done yet: a person has to approve this, because ${decision.reason}. Do not send it again; call read_session with this session and wait: ${MAX_WAIT_SECONDS} to follow it, for up to 10 minutes.`,
    [SPARE]: ['reason'],
  };
}

/**
 * Formats an answer as the output of a session: its text, then a line for each other field that the lean doors show.
 */
function outputOf({ content, diff, [SPARE]: spare = [], ...fields }: Answer): string {
  const text = typeof content === 'string' ? content : typeof diff === 'string' ? diff : '';
  const lines = Object.entries(fields).filter(([name]) => !spare.includes(name));
  const said = lines.map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}\n`);
  return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${said.join('')}`;
}
