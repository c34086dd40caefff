import { describe, expect, test } from 'bun:test';
import { profileOf } from '../../src/access/profile.ts';
import { decide, decideWrite } from '../../src/rules/decide.ts';
import type { Ruleset } from '../../src/rules/rule.ts';

function rulesOf(file: Parameters<typeof profileOf>[1]): Ruleset {
  const profile = profileOf('test', { extends: 'full', ...file });
  if (!('rules' in profile)) throw new Error(profile.join('; '));
  return profile.rules;
}

describe('what rules say to a file that an operation writes', () => {
  const deny = (more: object) => rulesOf({ rules: [{ action: 'deny', ...more }] });

  test.each([
    ['a rule about the file', deny({ writes: '/etc/*' }), '/etc/hosts', 'deny'],
    ['a rule about another file', deny({ writes: '/etc/*' }), '/srv/hosts', 'allow'],
    ['a rule about every command', deny({ command: '*' }), '/srv/x', 'deny'],
    ['a rule about this operation', deny({ command: 'write_file' }), '/srv/x', 'deny'],
    [
      'a rule about this operation and other files',
      deny({ command: 'write_file', writes: '/etc/*' }),
      '/srv/x',
      'allow',
    ],
    ['a rule about another program', deny({ command: 'tee', writes: '/srv/*' }), '/srv/x', 'allow'],
    ['nothing but what is otherwise', rulesOf({ otherwise: 'confirm' }), '/srv/x', 'confirm'],
    [
      'an allow for the file, where the rest is denied',
      rulesOf({ rules: [{ action: 'allow', writes: '/srv/*' }], otherwise: 'deny' }),
      '/srv/x',
      'allow',
    ],
    [
      'an allow for another file, where the rest is denied',
      rulesOf({ rules: [{ action: 'allow', writes: '/srv/*' }], otherwise: 'deny' }),
      '/etc/x',
      'deny',
    ],
    [
      'an allow for a program, where the rest is denied',
      rulesOf({ rules: [{ action: 'allow', command: '*' }], otherwise: 'deny' }),
      '/srv/x',
      'deny',
    ],
  ] as const)('%s', (_what, rules, path, action) => {
    expect(decideWrite(rules, 'write_file', path).action).toBe(action);
  });

  test('is as strict as what they say to a redirection, for rules about files', () => {
    const rules = rulesOf({
      rules: [
        { action: 'allow', writes: '/srv/app/*' },
        { action: 'confirm', writes: '/srv/*' },
        { action: 'deny', writes: ['/etc/*', '*.key'] },
      ],
    });
    const place = { shell: '/bin/bash', cwd: '/', env: {}, stdin: '', isOpen: false };
    for (const path of ['/srv/app/a', '/srv/b', '/etc/c', '/srv/app/../b', '/home/x.key', '/home/y'])
      expect([path, decideWrite(rules, 'edit_file', path).action]).toEqual([
        path,
        decide(rules, { cmd: `: > '${path}'`, ...place }).action,
      ]);
  });
});
