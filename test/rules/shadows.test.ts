import { describe, expect, test } from 'bun:test';
import { ruleOf } from '../../src/rules/rule.ts';
import { shadowFaults, shadowNotes } from '../../src/rules/shadows.ts';
import { decided, ruleset } from './rulesets.ts';

type Stated = Parameters<typeof ruleOf>[0];
const allow = (rule: Omit<Stated, 'action'>): Stated => ({ action: 'allow', ...rule });
const confirm = (rule: Omit<Stated, 'action'>): Stated => ({ action: 'confirm', ...rule });
const deny = (rule: Omit<Stated, 'action'>): Stated => ({ action: 'deny', ...rule });

const faultsOf = (rules: readonly Stated[]): string[] => shadowFaults(rules.map(ruleOf));
const notesOf = (rules: readonly Stated[]): string[] => shadowNotes(rules.map(ruleOf));

/** Lists whose last rule is never reached, and a command that it was meant for. */
const DEAD: readonly [cmd: string, ...rules: Stated[]][] = [
  ['git push', allow({ command: 'git' }), deny({ command: 'git', arguments: ['push', '...'] })],
  ['cat x', allow({ command: ['ls', 'cat'] }), deny({ command: 'cat' })],
  ['cat x', allow({ command: 'ls' }), allow({ command: 'c*' }), confirm({ command: 'cat', flags: '-n' })],
  ['rm -r x', allow({ command: '*' }), deny({ command: 'rm', flags: '-r' })],
  ['rm -r x', allow({ command: '*' }), deny({ flags: '-r' })],
  ['rm -f x', allow({ flags: ['-f', '-r'] }), deny({ command: 'rm', flags: '-f' })],
  ['rm x', allow({ command: 'rm', arguments: '...' }), deny({ command: 'rm' })],
  ['rm x', allow({ command: 'r?' }), deny({ command: 'rm' })],
  ['rm x', allow({ command: 'rm' }), confirm({ command: 'mv' }), deny({ command: 'rm' })],
  ['mkfs.xfs x', allow({ command: 'mk*' }), deny({ command: 'mkfs*' })],
  ['rm x; mv x y', allow({ command: 'rm' }), confirm({ command: 'mv' }), deny({ command: ['rm', 'mv'] })],
  ['systemctl stop x', confirm({ command: 'systemctl' }), deny({ command: 'systemctl', arguments: 'stop' })],
  ['git push', deny({ command: 'git', arguments: 'push' }), allow({ command: 'git', arguments: ['push', '...'] })],
  ['git push', deny({ command: 'git', arguments: 'pu*' }), allow({ command: 'git', arguments: ['push'] })],
  ['rm /etc/x', confirm({ command: 'rm', arguments: '/etc/*' }), deny({ command: 'rm', arguments: '/etc/x' })],
  [
    'dd of=/dev/sda',
    confirm({ command: 'dd', arguments: 'of=/dev/*' }),
    deny({ command: 'dd', arguments: 'of=/dev/sda' }),
  ],
  ['> /etc/x', confirm({ writes: '/etc/*' }), deny({ writes: '/etc/x' })],
  ['> /srv/a/b', deny({ writes: '/srv/*' }), allow({ writes: '/srv/a/*' })],
  ['tee /etc/x', deny({ writes: '*' }), confirm({ command: 'tee', writes: '/etc/*' })],
  ['echo x > /tmp/x', deny({ command: 'echo' }), allow({ command: 'echo', writes: '/tmp/*' })],
  ['/opt/app/run', deny({ command: 'run' }), allow({ command: '/opt/app/run' })],
  ['rm x', deny({ command: '/usr/bin/rm' }), allow({ command: '/usr/bin/rm' })],
];

describe('a rule that is never reached is found', () => {
  test.each(DEAD.map(([cmd, ...rules]) => [cmd, rules] as const))('%s: %j', (cmd, rules) => {
    expect(faultsOf(rules)).toEqual([
      expect.stringMatching(new RegExp(`^rule ${rules.length} is never reached: rule`)),
    ]);
    // What decides is the same without it.
    const [all, fewer] = [rules, rules.slice(0, -1)].map((some) => decided(ruleset('deny', ...some), cmd));
    expect(all).toEqual(fewer);
  });

  test('with what to do', () => {
    expect(faultsOf([allow({ command: 'git' }), deny({ command: 'git', arguments: 'push' })])).toEqual([
      'rule 2 is never reached: rule 1 (allow command git) already covers all of it; move it before rule 1',
    ]);
    expect(faultsOf([allow({ command: 'git' }), deny({ command: 'git' })])).toEqual([
      'rule 2 is never reached: rule 1 (allow command git) already covers all of it; remove one of them',
    ]);
    expect(
      faultsOf([allow({ command: 'rm' }), confirm({ command: 'mv' }), deny({ command: ['rm', 'mv'], flags: '-f' })]),
    ).toEqual(['rule 3 is never reached: rules 1, 2 already cover all of it; move it before rule 1']);
  });
});

/** Lists whose last rule is reached, by a command for which it changes what is decided. */
const ALIVE: readonly [cmd: string, ...rules: Stated[]][] = [
  ['rm x', allow({ command: 'rm', arguments: ['-rf', './build'] }), deny({ command: 'rm' })],
  ['git push -f', allow({ command: 'git', arguments: ['push'] }), deny({ command: 'git', arguments: ['push'] })],
  ['git push x', allow({ command: 'git', arguments: ['push'] }), deny({ command: 'git', arguments: ['push', 'x'] })],
  ['git x push', allow({ command: 'git', arguments: ['push', '...'] }), deny({ command: 'git', arguments: 'push' })],
  ['git push', allow({ command: 'git', flags: '-n' }), deny({ command: 'git', arguments: 'push' })],
  ['rm -r x', allow({ command: 'rm', flags: '-f' }), deny({ command: 'rm', flags: ['-f', '-r'] })],
  ['mkfs x', allow({ command: 'mkfs.*' }), deny({ command: 'mkfs*' })],
  ['mkfs x', allow({ command: 'mk?' }), deny({ command: 'mk*' })],
  ['echo x > /etc/x', allow({ command: 'echo' }), deny({ command: 'echo', writes: '/etc/*' })],
  ['echo x > /etc/x', confirm({ command: 'echo' }), deny({ command: 'echo', writes: '/etc/*' })],
  ['> /etc/x', deny({ command: '*' }), deny({ writes: '/etc/*' })],
  ['echo x > /tmp/x', allow({ writes: '/tmp/*' }), deny({ writes: '/tmp/x' })],
  ['tee /tmp/x', allow({ writes: '/tmp/*' }), deny({ command: 'tee', writes: '/tmp/x' })],
  ['echo x > etc', confirm({ writes: '/etc*' }), deny({ writes: 'etc' })],
  ['rm x', confirm({ command: 'rm', arguments: '/etc/*' }), deny({ command: 'rm', arguments: '*x' })],
  ['/opt/x/rm x', allow({ command: '*' }), deny({ command: '/opt/x/rm' })],
  ['rm x', allow({ command: '/opt/x/rm' }), deny({ command: '/opt/x/rm' })],
  ['rm x', allow({ command: '/opt/x/rm' }), deny({ command: 'rm' })],
  ['/opt/x/rm x', allow({ command: '*' }), deny({ command: '*' })],
  ['ls x', deny({ command: 'ls', arguments: ['x', 'y'] }), confirm({ command: 'ls', arguments: 'x' })],
];

describe('a rule that is reached is not found', () => {
  test.each(ALIVE.map(([cmd, ...rules]) => [cmd, rules] as const))('%s: %j', (cmd, rules) => {
    expect(faultsOf(rules)).toEqual([]);
    const [all, fewer] = [rules, rules.slice(0, -1)].map((some) => decided(ruleset('allow', ...some), cmd).action);
    expect(all).not.toBe(fewer);
  });

  test('nor one that makes an exception, or allows a program its files', () => {
    expect(faultsOf([allow({ command: 'echo' }), allow({ command: 'echo', writes: '/tmp/*' })])).toEqual([]);
    expect(notesOf([allow({ command: 'echo' }), allow({ command: 'echo', writes: '/tmp/*' })])).toEqual([]);
    expect(faultsOf([deny({ command: 'git', arguments: 'push' }), allow({ command: 'git' })])).toEqual([]);
  });
});

describe('a note describes', () => {
  test('a rule that says again what one before it says', () => {
    const rules = [deny({ command: ['rm', 'mv'] }), deny({ command: 'rm', flags: '-r' })];
    expect(faultsOf(rules)).toEqual([]);
    expect(notesOf(rules)).toEqual(['rule 2 is never reached: rule 1 (deny command rm, mv) already covers all of it']);
  });

  test('one of several commands for which a rule is not reached', () => {
    const rules = [allow({ command: ['ls', 'cat'] }), deny({ command: ['cat', 'rm'] })];
    expect(faultsOf(rules)).toEqual([]);
    expect(notesOf(rules)).toEqual([
      'rule 2 is never reached for command "cat": rule 1 (allow command ls, cat) already covers all of it; move it before rule 1',
    ]);
  });

  test('programs that are allowed before a rule looks at what they write', () => {
    const files = deny({ writes: '/etc/*' });
    expect(notesOf([allow({ command: ['ls', 'cp'] }), files])).toEqual([
      'rule 2 (deny writes /etc/*) does not see what cp writes, because rule 1 allows that first; move it before rule 1',
    ]);
    expect(notesOf([allow({ command: '*' }), files])).toEqual([expect.stringContaining('tee, cp, mv and others')]);
    expect(notesOf([allow({ command: 'ls' }), files])).toEqual([]);
    expect(notesOf([allow({ command: 'tee', arguments: ['/srv/x'] }), files])).toEqual([]);
    expect(notesOf([allow({ command: 'tee' }), deny({ command: 'cp', writes: '/etc/*' })])).toEqual([]);
    expect(notesOf([files, allow({ command: 'tee' })])).toEqual([]);
  });
});

describe('whatever rules there are, one that is told to be never reached changes nothing', () => {
  const rules = [
    { command: 'cp' },
    { command: 'c*' },
    { command: '*' },
    { command: '/usr/bin/cp' },
    { flags: '-f' },
    { command: 'cp', flags: '-f' },
    { command: 'cp', flags: ['-f', '-r'] },
    { arguments: ['/etc/*'] },
    { command: 'cp', arguments: ['a', '/etc/x'] },
    { command: 'cp', arguments: ['a'] },
    { command: 'cp', arguments: ['a', '...'] },
    { command: 'cp', arguments: ['*'] },
    { command: 'c?', arguments: ['?', '*'] },
    { writes: '/etc/*' },
    { writes: '/etc/x' },
    { writes: '*x' },
    { writes: 'x' },
    { command: 'cp', writes: '/etc/*' },
    { command: 'c*', writes: '/etc/?' },
    { command: 'cp', arguments: ['a', '...'], writes: '*' },
  ].flatMap((one): Stated[] => [allow(one), confirm(one), deny(one)]);
  const commands = [
    ...['cp a', 'cp -f a', 'cp -rf a /etc/x', 'cp a ../../etc/x', 'cat -f < /etc/x', 'ls a /etc/x', '/usr/bin/cp a x'],
    ...['> /etc/x', '> x', 'cp > /etc/x', 'cp a > x', 'cat a > /etc/x', '{ cp a; } > /etc/x', 'cp a > /etc/x > /tmp/y'],
  ];
  const sets = (['allow', 'deny'] as const).flatMap((otherwise) => commands.map((cmd) => [otherwise, cmd] as const));
  const actionsFor = (some: readonly Stated[]): string[] =>
    sets.map(([otherwise, cmd]) => `${cmd}: ${decided(ruleset(otherwise, ...some), cmd).action} of ${otherwise}`);
  const isDead = (note: string): boolean => note.startsWith('rule 2 is never reached: ');

  test.each(rules)('before others: %j', (first) => {
    const alone = actionsFor([first]);
    const dead = rules.filter((second) => [...faultsOf([first, second]), ...notesOf([first, second])].some(isDead));
    for (const second of dead) expect([second, ...actionsFor([first, second])]).toEqual([second, ...alone]);
  });
});

test('as many rules as a file may have are compared soon', () => {
  const many = Array.from({ length: 500 }, (_, at) =>
    deny({ command: Array.from({ length: 200 }, (_, one) => `c${at}-${one}`) }),
  );
  expect([...faultsOf(many), ...notesOf(many)]).toEqual([]);
});
