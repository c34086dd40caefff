import { type Allowances, type Held, ruleDigest } from '../access/allowances.ts';
import type { CallContext, OperationDeps } from '../calls/context.ts';
import type { NewCommand } from '../commands/command.ts';
import { OperationNotAllowed } from '../lib/errors.ts';
import { visibleText } from '../lib/visible.ts';
import type { Proposal } from '../rules/decide.ts';
import type { Decision } from '../rules/rule.ts';
import { keptDecision } from '../sessions/kept.ts';

/** A command with the decision on it. */
export interface Judged {
  readonly command: NewCommand;
  readonly decision: Decision;
}

/** A person does not read more of a command at a glance. */
const MOST_CHARS = 2000;

/**
 * A command that rules ask about runs if the owner has allowed what they ask; else the owner may allow it together with
 * others.
 */
export async function underAllowances(
  { allowances }: OperationDeps,
  { profile, principal }: CallContext,
  asked: Judged,
  proposal: Proposal,
): Promise<Judged> {
  const { command, decision } = asked;
  if (decision.action !== 'confirm' || profile.isLook || !isPlain(command)) return asked;
  const { isAskedBy } = await import('../rules/decide.ts');
  const isAsked = (rules: readonly number[]): boolean => isAskedBy(profile.rules, new Set(rules), proposal);
  const held = allowances.of(principal, profile, proposal.cwd);
  if (held.length > 0 && isAsked(held.map(({ rule }) => rule))) {
    const used = held.filter((one) => !isAsked(held.filter((other) => other !== one).map(({ rule }) => rule)));
    return allow(asked, proposal.cwd, used, allowances);
  }
  const { rule } = decision;
  if (rule === undefined || !isAsked([rule])) return asked;
  const words = profile.rules.rules[rule - 1]?.words ?? '';
  const allowable = { rule, rule_sha256: ruleDigest(profile, rule), words, cwd: proposal.cwd };
  return { command, decision: { ...decision, allowable } };
}

/** Whether it has no input that rules do not read, and is what it looks like. */
function isPlain({ cmd, env, stdin, input, held, dialog }: NewCommand): boolean {
  const hasMore = stdin !== '' || Object.keys(env).length > 0 || held !== undefined || dialog !== undefined;
  return !hasMore && input === 'closed' && cmd.length <= MOST_CHARS && visibleText(cmd) === cmd;
}

/**
 * The command as one that runs by these allowances, in the directory where it was judged: a link may lead elsewhere
 * later.
 */
function allow({ command, decision }: Judged, cwd: string, used: readonly Held[], allowances: Allowances): Judged {
  const ids = used.map(({ id }) => id);
  const by = [...new Set(used.map((one) => one.by))].join(', ');
  const revalidate = (): void => {
    command.revalidate();
    if (allowances.areInForce(ids)) return;
    throw new OperationNotAllowed(
      'The time for which the owner had allowed this has just ended. Nothing was run. Send it again, and a person is asked to approve it.',
    );
  };
  const { reason, rule } = decision;
  const kept = { action: 'allowed', reason, by, allowances: ids, ...(rule !== undefined && { rule }) };
  return {
    command: { ...command, cwd, revalidate, decision: keptDecision(kept) },
    decision: { ...decision, action: 'allow' },
  };
}
