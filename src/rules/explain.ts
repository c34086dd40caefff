import type { Ruleset } from './decide.ts';
import { decide } from './decide.ts';
import type { Action } from './rule.ts';

/** What rules say to a command, for those who ask without running it. */
export interface Explained {
  readonly action: Action;
  readonly reason: string;
  /** The part of the command that decided. */
  readonly part: string;
  /** The number of the rule, from 1; null: none. */
  readonly rule: number | null;
}

/** Explains what rules say to a command that would begin in a directory, in a shell; nothing is run. */
export function explain(
  rules: Ruleset,
  cmd: string,
  place: { readonly cwd: string; readonly shell: string },
): Explained {
  const { action, reason, part, rule = null } = decide(rules, { cmd, ...place, env: {}, stdin: '', isOpen: false });
  return { action, reason, part, rule };
}
