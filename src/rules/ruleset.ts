import type { Action, Rule } from './rule.ts';

/** The rules of a profile, in their order, and what happens to what none of them is about. */
export interface Ruleset {
  readonly rules: readonly Rule[];
  readonly otherwise: Action;
  /** What happens to what rules decide on and cannot be read. */
  readonly unreadable: Action;
}

/** What becomes of a proposal, and why. */
export interface Decision {
  readonly action: Action;
  readonly reason: string;
  /** The part of the command that decided. */
  readonly part: string;
  /** The number of the rule, from 1; undefined: none. */
  readonly rule: number | undefined;
}

/** What no rule is against. */
export const ALLOWED: Decision = { action: 'allow', reason: 'no rule is against it', part: '', rule: undefined };

/** Whether rules let everything through, so that there is nothing to look at. */
export function letsAllThrough({ rules, otherwise }: Ruleset): boolean {
  return otherwise === 'allow' && rules.every(({ action }) => action === 'allow');
}
