import type { CallContext, OperationDeps } from '../calls/context.ts';
import { OperationNotAllowed } from '../lib/errors.ts';
import { ALLOWED, type Decision } from '../rules/rule.ts';
import { shownPath } from './place.ts';

/**
 * Throws `OperationNotAllowed` where the rules of the profile keep a token from reading a file, under any of its paths.
 * They say of it what they say of `cat` with this path.
 */
export async function requireReadable(
  { limits }: Pick<OperationDeps, 'limits'>,
  { profile: { rules, hasRules } }: CallContext,
  paths: readonly string[],
): Promise<Decision> {
  if (!hasRules) return ALLOWED;
  const { decide, strictest } = await import('../rules/decide.ts');
  const decisions = [...new Set(paths)].map((path) =>
    decide(rules, { cmd: `cat -- ${quoted(path)}`, shell: limits.shell, cwd: '/', env: {}, stdin: '', isOpen: false }),
  );
  const decision = strictest(decisions);
  if (decision.action === 'deny')
    throw new OperationNotAllowed(
      `The rules of this token do not allow to read ${shownPath(paths[0] ?? '')}: ${decision.reason}.`,
    );
  return decision;
}

/** A word of a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
