import { describe, expect, test } from 'bun:test';
import { type Profile, profileOf } from '../../src/access/profile.ts';
import { decide, isAskedBy } from '../../src/rules/decide.ts';

const { rules } = profileOf('careful', {
  extends: 'full',
  rules: [
    { action: 'deny', command: 'mkfs*' },
    { action: 'confirm', command: 'systemctl', arguments: ['restart', 'web'] },
    { action: 'confirm', command: 'rm' },
  ],
}) as Profile;
const place = { shell: '/bin/bash', cwd: '/srv', env: {}, stdin: '', isOpen: false };
const RESTART = 2;

/** Whether a command runs while rule 2 is allowed; it must be one that somebody is asked about, or that is denied. */
function runs(cmd: string, more: Partial<typeof place> = {}, given = rules): boolean {
  const proposal = { ...place, ...more, cmd };
  expect([cmd, decide(given, proposal).action]).not.toEqual([cmd, 'allow']);
  return isAskedBy(given, new Set([RESTART]), proposal);
}

describe('while a rule is allowed', () => {
  test.each(['systemctl restart web', "systemctl 'restart' web", '/usr/bin/systemctl restart web && echo done'])(
    'runs what it asks about: %s',
    (cmd) => expect(runs(cmd)).toBe(true),
  );

  test.each([
    ['another rule in a chain', 'systemctl restart web; rm -rf /srv'],
    ['another rule on another line', 'systemctl restart web\nrm -rf /srv'],
    ['what is denied in a pipe', 'systemctl restart web | mkfs.ext4 /dev/sda'],
    ['a substitution', 'systemctl restart web $(cat /tmp/more)'],
    ['a variable', 'systemctl restart web $MORE'],
    ['names of files that the shell looks up', 'systemctl restart web /tmp/*'],
    ['a command in backticks', 'systemctl restart web `rm -rf /srv`'],
    ['a program whose name is only known when it runs', '$X restart web'],
    ['a name in quotes that makes another program', 's"ystemctl" restart web; "r"m x'],
    ['a variable that changes what commands mean', 'PATH=/tmp systemctl restart web'],
    ['a function of the same name', 'systemctl() { rm -rf /srv; }; systemctl restart web'],
    ['an alias', "shopt -s expand_aliases; alias systemctl='rm -rf'\nsystemctl restart web"],
    ['a wrapper around another rule', 'env -i rm -rf /srv; systemctl restart web'],
    ['a shell in it', 'bash -c "systemctl restart web; rm x"'],
    ['words that only running would tell', 'systemctl restart web; xargs -a /tmp/list rm'],
    ['a text that is run', 'eval "$CMD"; systemctl restart web'],
    ['a file that is run', 'systemctl restart web; . /tmp/x'],
  ])('asks, or denies: %s', (_, cmd) => expect(runs(cmd)).toBe(false));

  const closed = { ...rules, otherwise: 'deny' as const };
  test.each([
    ['another program of the same name', '/tmp/x/systemctl restart web'],
    ['more arguments than the rule says', 'systemctl restart web evil'],
    ['the arguments in another order', 'systemctl web restart'],
    ['an option', 'systemctl -H root@evil restart web'],
    ['what it reads', 'systemctl restart web < /etc/shadow'],
    ['another directory', 'cd /tmp && systemctl restart web'],
    ['a directory that nobody knows', 'cd && systemctl restart web'],
  ])('asks, or denies, what an allow of the same words does not allow: %s', (_, cmd) => {
    expect(runs(cmd)).toBe(false);
    expect(runs(cmd, {}, closed)).toBe(false);
  });

  test('asks about another program of the same name where it is', () => {
    expect(runs('./systemctl restart web', { cwd: '/tmp/x' }, closed)).toBe(false);
    expect(runs('./systemctl restart web', { cwd: '/usr/bin' }, closed)).toBe(true);
  });

  test('a rule about files allows no program, and a rule about a program no file', () => {
    const files = profileOf('files', {
      extends: 'full',
      rules: [{ action: 'confirm', writes: '/etc/motd' }],
    }) as Profile;
    const isAsked = (cmd: string, more = {}): boolean =>
      isAskedBy({ ...files.rules, ...more }, new Set([1]), { ...place, cmd });
    expect(isAsked('echo hi > /etc/motd')).toBe(true);
    expect(isAsked('/tmp/x > /etc/motd', { otherwise: 'deny' })).toBe(false);
    expect(runs('systemctl restart web > /etc/motd', {}, closed)).toBe(false);
  });

  test('asks about an open input, variables of the call, and what is fed to a shell', () => {
    expect(runs('systemctl restart web', { isOpen: true })).toBe(false);
    expect(runs('systemctl restart web', { env: { LD_PRELOAD: '/tmp/x.so' } })).toBe(false);
    expect(runs('systemctl restart web; sh', { stdin: 'rm -rf /srv' })).toBe(false);
  });

  test('asks where rules are asked about whatever they cannot read, or do not name', () => {
    const open = { ...rules, unreadable: 'allow' as const };
    expect(runs('systemctl restart web; $X', {}, open)).toBe(false);
    const closed = { ...rules, otherwise: 'confirm' as const };
    expect(runs('systemctl restart web; id', {}, closed)).toBe(false);
    expect(runs('systemctl restart web', {}, closed)).toBe(true);
  });
});
