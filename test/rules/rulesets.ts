import { decide, type Proposal } from '../../src/rules/decide.ts';
import type { Decision, Ruleset } from '../../src/rules/rule.ts';
import { type Action, ruleOf } from '../../src/rules/rule.ts';

export function ruleset(otherwise: Action, ...rules: readonly Parameters<typeof ruleOf>[0][]): Ruleset {
  return { otherwise, unreadable: 'confirm', rules: rules.map(ruleOf) };
}

export function decided(rules: Ruleset, cmd: string, more: Partial<Proposal> = {}): Decision {
  return decide(rules, { cmd, shell: '/bin/bash', cwd: '/srv/app', env: {}, stdin: '', isOpen: false, ...more });
}
