import { describe, expect, test } from 'bun:test';
import type { ruleOf } from '../../src/rules/rule.ts';
import { ruleFaults, ruleMistakes, ruleNotes } from '../../src/rules/rule-faults.ts';

type Stated = Parameters<typeof ruleOf>[0];

describe('a rule that is never about anything has a fault', () => {
  const rows: readonly [rule: Stated, told: string][] = [
    [{ action: 'deny', flags: 'r' }, 'write flags = ["-r"], or'],
    [{ action: 'deny', flags: 'rf' }, 'write flags = ["-r","-f"] or flags = ["--rf"], or'],
    [{ action: 'deny', flags: 'all' }, 'write flags = ["-a","-l","-l"] or flags = ["--all"], or'],
    [{ action: 'deny', flags: 'force' }, 'write flags = ["--force"], or'],
    [{ action: 'deny', flags: '-rf -v' }, 'write flags = ["-r","-f","-v"], or'],
    [{ action: 'deny', command: 'rm -rf' }, 'write command = "rm", flags = ["-r","-f"] (one of them is enough)'],
    [{ action: 'deny', command: 'rm -r x' }, 'write command = "rm", flags = ["-r"], arguments = ["x"]'],
  ];
  test.each(rows)('%j: %s', (rule, told) => {
    expect(ruleFaults('rule 1', rule)).toEqual([expect.stringContaining(told)]);
  });
});

describe('a part that never applies is a mistake for profile check, and no reason not to use the rest', () => {
  const rows: readonly [rule: Stated, told: string][] = [
    [{ action: 'deny', flags: ['-r', '--'] }, 'flags "--" is not a flag: it ends them'],
    [{ action: 'allow', command: './run.sh' }, 'needs its plain absolute path, such as command = "/srv/app/run.sh"'],
    [{ action: 'allow', command: '*/run.sh' }, 'needs its plain absolute path'],
    [{ action: 'allow', command: ['ls', '/opt/../run'] }, 'such as command = "/run"'],
    [
      { action: 'allow', flags: '-n', writes: '/tmp/*' },
      'rule 1 allows no program: with flags and writes it needs a command',
    ],
    [
      { action: 'deny', writes: './x' },
      'writes "./x" matches no path, because paths are compared in their plain form: write the absolute',
    ],
    [{ action: 'deny', writes: './x' }, 'or "*/x"'],
    [{ action: 'deny', writes: '/srv/../etc/*' }, 'write "/etc/*"'],
    [{ action: 'deny', writes: '//etc/x' }, 'write "/etc/x"'],
  ];
  test.each(rows)('%j: %s', (rule, told) => {
    expect(ruleMistakes('rule 1', rule)).toEqual([expect.stringContaining(told)]);
    expect(ruleFaults('rule 1', rule)).toEqual([]);
  });
});

describe('a rule that may be meant otherwise has a note and no fault', () => {
  const rows: readonly [rule: Stated, told: string][] = [
    [{ action: 'deny', command: 'rm', flags: '-rf' }, 'write flags = ["-r","-f"], of which one is enough'],
    [{ action: 'deny', command: 'ls', flags: '--color=auto' }, 'matches any other value'],
    [{ action: 'deny', command: 'git', flags: '--force*' }, 'a star in flags only matches a star'],
    [
      { action: 'confirm', command: 'systemctl', arguments: 'restart nginx' },
      'arguments "restart nginx" is one argument with a space in it: if several are meant, write arguments = ["restart","nginx"]',
    ],
    [
      { action: 'deny', command: 'rm', arguments: '-rf /' },
      'write flags = ["-r","-f"] (one of them is enough), arguments = ["/"]',
    ],
    [{ action: 'allow', command: 'git', arguments: ['...', 'push'] }, 'only means further arguments at the end'],
    [
      { action: 'deny', command: 'cat', arguments: '~/.ssh/*' },
      'only matches what is also written with ~: add a rule with',
    ],
    [{ action: 'deny', writes: '~/.ssh/*' }, 'only matches what is also written with ~: add /root/… and /home/*/…'],
    [{ action: 'deny', writes: 'etc/passwd' }, 'begin it with /, or with */ for any directory'],
    [{ action: 'deny', writes: '../x' }, 'begin it with /, or'],
  ];
  test.each(rows)('%j: %s', (rule, told) => {
    expect(ruleFaults('rule 1', rule)).toEqual([]);
    expect(ruleNotes('rule 1', rule)).toEqual([expect.stringContaining(told)]);
  });
});

describe('a rule that says what it means has neither', () => {
  const rows: readonly Stated[] = [
    { action: 'deny', command: 'rm', flags: ['-r', '-R', '--recursive'] },
    { action: 'deny', command: 'find', flags: ['-delete', '-exec'] },
    { action: 'deny', command: ['/usr/bin/rm', '/opt/my app/run'] },
    { action: 'deny', command: './run.sh' },
    { action: 'allow', command: ['ls', '/opt/app/run'], arguments: ['-l', '...'] },
    { action: 'allow', command: 'git', arguments: ['commit', '-m', 'a few words'] },
    { action: 'allow', command: 'psql', arguments: ["select 'x' from t;"] },
    { action: 'allow', writes: ['/tmp/*', '*.log', '*', '/etc/'] },
    { action: 'allow', command: 'echo', flags: '-n', writes: '/tmp/*' },
    { action: 'confirm', command: 'systemctl', arguments: ['restart', 'nginx*'] },
  ];
  test.each(rows)('%j', (rule) => {
    expect([ruleFaults, ruleMistakes, ruleNotes].flatMap((look) => look('rule 1', rule))).toEqual([]);
  });
});
