import type { CallContext } from '../calls/context.ts';
import { OperationNotAllowed } from '../lib/errors.ts';
import { ALLOWED, type Decision } from '../rules/rule.ts';
import { shownPath } from './place.ts';

/**
 * Decides by the rules of the profile on reading a file, under any of its paths: as on `cat` with this path. Throws
 * `OperationNotAllowed` if they deny it.
 */
export async function requireReadable(
  { profile: { rules, hasRules }, limits }: CallContext,
  paths: readonly string[],
): Promise<Decision> {
  if (!hasRules) return ALLOWED;
  const { decide } = await import('../rules/decide.ts');
  const place = { shell: limits.shell, cwd: '/', env: {}, stdin: '', isOpen: false };
  return requireAllowed('read', paths, (path) => decide(rules, { cmd: `cat -- ${quoted(path)}`, ...place }));
}

/** The same for writing a file, by the rules about files that are written to. */
export async function requireWritable(
  { profile: { rules, hasRules } }: CallContext,
  operation: string,
  paths: readonly string[],
): Promise<Decision> {
  if (!hasRules) return ALLOWED;
  const { decideWrite } = await import('../rules/decide.ts');
  return requireAllowed('write to', paths, (path) => decideWrite(rules, operation, path));
}

/** The decision of rules on a change of a file. */
interface ChangeDecision {
  readonly decision: Decision;
  /** Without an approval, the token must not learn the old content. */
  readonly hidesOld: boolean;
}

/**
 * Decides by the rules on a change of a file. If its answer reveals the old content (`revealsOld`), it counts as reading
 * too. Throws `OperationNotAllowed` if they deny it.
 */
export async function requireChangeable(
  context: CallContext,
  { op, revealsOld }: { readonly op: string; readonly revealsOld: boolean },
  paths: readonly string[],
): Promise<ChangeDecision> {
  const writing = await requireWritable(context, op, paths);
  if (!context.profile.hasRules) return { decision: writing, hidesOld: false };
  if (!revealsOld) return { decision: writing, hidesOld: !(await mayRead(context, paths)) };
  const reading = await requireReadable(context, paths);
  const { strictest } = await import('../rules/decide.ts');
  return { decision: strictest([writing, reading]), hidesOld: reading.action !== 'allow' };
}

async function mayRead(context: CallContext, paths: readonly string[]): Promise<boolean> {
  try {
    return (await requireReadable(context, paths)).action === 'allow';
  } catch (error) {
    if (error instanceof OperationNotAllowed) return false;
    throw error;
  }
}

/** Returns the strictest of the decisions on each of the paths. */
async function requireAllowed(
  what: string,
  paths: readonly string[],
  decide: (path: string) => Decision,
): Promise<Decision> {
  const { strictest } = await import('../rules/decide.ts');
  const decision = strictest([...new Set(paths)].map(decide));
  if (decision.action !== 'deny') return decision;
  throw new OperationNotAllowed(
    `The rules of this token do not allow it to ${what} ${shownPath(paths[0] ?? '')}: ${decision.reason}. Nothing was done.`,
  );
}

/** Quotes any text as one word of a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
