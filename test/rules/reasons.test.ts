// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import { decided, ruleset } from './rulesets.ts';

describe('a rule that is named is the one that is meant', () => {
  const rules = ruleset(
    'allow',
    { action: 'deny', command: 'reboot' },
    { action: 'deny', command: 'rm', flags: ['-r', '--recursive'] },
  );
  test.each(['{rm,-r,x}', '{r,}m -r x', 'rm {-r,x}', 'rm -{r,f} x', '{,rm} -r x', '{,} rm -r x', 'rm "x"{,} -{f,r}'])(
    'of words in braces: %s',
    (cmd) => {
      const { action, rule } = decided(rules, cmd);
      expect({ action, rule }).toEqual({ action: 'deny', rule: 2 });
    },
  );

  test('a name in braces is asked about all the same, and words in braces are no names', () => {
    expect(decided(rules, '{ls,x}').reason).toBe('the name of the command is written with braces');
    expect(decided(rules, "x='a[$(rm x)]'; {let,x}").action).toBe('confirm');
    expect(decided(rules, "{trap,'rm -r x',EXIT}").action).not.toBe('allow');
    expect(decided(rules, 'ls {rm,-r,x}').action).toBe('allow');
    expect(decided(rules, 'mkdir -p a/{b,c}/{d,e} f{,.bak}').action).toBe('allow');
    expect(decided(rules, `rm ${'{-r,b}'.repeat(20)}`).action).toBe('confirm');
  });

  test('a name that nobody knows is told before a rule that may be about it', () => {
    expect(decided(rules, '$x -r y')).toMatchObject({
      action: 'confirm',
      reason: 'the name of the command is only known when it runs',
      rule: undefined,
    });
  });

  test.each(['rm -- -r', 'rm -f -- -r x', 'rm x -- --recursive', 'rm -- "$x" -r'])(
    'what follows -- is a file: %s',
    (cmd) => {
      expect(decided(rules, cmd).action).toBe('allow');
    },
  );

  test.each(['rm -r -- x', 'rm x -r --', 'rm "$x" -- -r', 'rm -$x -- y'])('and before it none: %s', (cmd) => {
    expect(decided(rules, cmd).action).not.toBe('allow');
  });

  test.each(['find -- x -delete', 'git push -o -- --delete', 'chmod --reference -- --delete', 'npm x -- --delete'])(
    'of other programs and values it may be a flag: %s',
    (cmd) => {
      const deletes = ruleset('allow', { action: 'deny', flags: '--delete' }, { action: 'deny', flags: '-delete' });
      expect(decided(deletes, cmd).action).toBe('confirm');
    },
  );
});

describe('where no rule allows a file, the reason names it', () => {
  const rules = ruleset(
    'deny',
    { action: 'allow', command: 'echo' },
    { action: 'allow', command: 'ls', writes: '/tmp/*' },
    { action: 'allow', writes: '/srv/free/*' },
  );
  const fileReason = (path: string): string =>
    `no rule allows it to write to ${path}: an allow for a program does not cover its files, which need writes = "${path}"`;
  const rows: readonly [cmd: string, reason: string][] = [
    ['echo x > /etc/f', fileReason('/etc/f')],
    ['echo x > f', fileReason('/srv/app/f')],
    ['> /etc/f', fileReason('/etc/f')],
    ['echo x > "$f"', 'no rule allows it to write to a file whose name is only known when it runs'],
    ['mv x y', 'no rule is about it'],
    ['mv x > /etc/f', 'no rule is about it'],
    [
      'ls > /etc/f',
      'rule 2 allows it only when it writes to its files and to no others (allow command ls, writes /tmp/*)',
    ],
    ['ls', 'rule 2 allows it only when it writes to its files and to no others (allow command ls, writes /tmp/*)'],
  ];
  test.each(rows)('%s', (cmd, reason) => {
    expect(decided(rules, cmd)).toMatchObject({ action: 'deny', reason });
  });

  test('and what it takes is enough', () => {
    expect(decided(rules, 'echo x > /srv/free/f').action).toBe('allow');
    const more = {
      ...rules,
      rules: [...rules.rules, ...ruleset('deny', { action: 'allow', writes: '/srv/app/f' }).rules],
    };
    expect(decided(more, 'echo x > f').action).toBe('allow');
  });
});
