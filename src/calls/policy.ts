import { OPERATIONS, type Profile } from '../access/profile.ts';
import type { Trail } from '../audit/trail.ts';
import { AccessLapsed, OperationNotAllowed } from '../lib/errors.ts';
import { type Answer, type Call, type CallContext, type ContextDeps, contextOf, FORBIDDEN } from './context.ts';

/** What the policy knows of an operation. */
export interface PolicySubject {
  /** Its name on record. */
  readonly name: string;
  /** The operation that the profile of the token has to allow. */
  readonly needs: string;
  readonly readOnly: boolean;
  /** When its line is written; `by itself`: the operation writes lines of its own. */
  readonly recorded: 'before' | 'after' | 'by itself';
}

/** What the policy works with. */
export interface PolicyDeps extends ContextDeps {
  readonly trail: Trail;
}

/**
 * The way of every call, whatever its door: the token and its profile are looked at, the profile allows the operation,
 * and the call is on record, what changes something before it is done, what only reads before its answer leaves, and
 * what was refused as well. Throws what `run` throws, `AccessLapsed`, `OperationNotAllowed`, and `MachineRefused` where
 * the call cannot be recorded.
 */
export async function underPolicy<T>(
  deps: PolicyDeps,
  subject: PolicySubject,
  args: unknown,
  call: Call,
  run: (context: CallContext) => Promise<T>,
): Promise<T> {
  const { trail } = deps;
  const { name, needs, readOnly, recorded } = subject;
  let hasBegun = false;
  try {
    const context = contextOf(deps, call);
    requireOperation(context.profile, needs);
    if (recorded === 'before') trail.operation(name, args, call);
    hasBegun = !readOnly;
    const answer = await run(context);
    if (recorded === 'after') trail.operation(name, args, call);
    return answer;
  } catch (thrown) {
    const error = isUnexplained(thrown) ? thrown.with(consequenceOf(name, hasBegun)) : thrown;
    trail.refused(name, args, call, error);
    throw error;
  }
}

/** Throws `OperationNotAllowed` for an operation that a profile does not allow. */
export function requireOperation({ name, operations }: Profile, operation: string): void {
  if (operations === undefined || operations.includes(operation)) return;
  throw new OperationNotAllowed(
    `The profile ${name} of this token does not allow ${operation}; it allows ${operations.join(', ') || 'nothing'}.`,
  );
}

/** Whether a token or its profile was found to be gone, and nothing says yet what that means for the call. */
function isUnexplained(error: unknown): error is AccessLapsed {
  return error instanceof AccessLapsed && error.consequence === '';
}

/** What it means for a call that its token or profile is gone: it may be half done by then. */
function consequenceOf(operation: string, hasBegun: boolean): string {
  return hasBegun
    ? ` by now, while ${operation} was under way: what that had begun was not taken back`
    : ', so nothing was done';
}

/** An answer that says which of the operations that its message advises the token may not use. */
export function withForbidden(answer: Answer, { operations }: Profile): Answer {
  const { message } = answer;
  if (operations === undefined || typeof message !== 'string') return answer;
  const forbidden = OPERATIONS.filter((name) => message.includes(name) && !operations.includes(name));
  return forbidden.length === 0 ? answer : { ...answer, message: `${message}${FORBIDDEN}${forbidden.join(', ')}.` };
}
