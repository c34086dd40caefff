// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import type { Proposal } from '../../src/rules/decide.ts';
import type { Action } from '../../src/rules/rule.ts';
import { decided, ruleset } from './rulesets.ts';

const RULES = ruleset('allow', { action: 'deny', writes: ['/etc/*', '/srv/app/config/*'] });

type Row = readonly [cmd: string, action: Action, more?: Partial<Proposal>];

/** What programs write because their words say so. */
const PROGRAMS: Readonly<Record<string, readonly Row[]>> = {
  tar: [
    ['tar -cf /etc/a.tar x', 'deny'],
    ['tar cf /etc/a.tar x', 'deny'],
    ['tar cvzf /etc/a.tgz x', 'deny'],
    ['tar -czf/etc/a.tgz x', 'deny'],
    ['tar --create --file=/etc/a.tar x', 'deny'],
    ['tar rCf /srv /etc/a.tar x', 'deny'],
    ['tar -uf ../../etc/a.tar x', 'deny'],
    ['tar -xf a.tar -C /etc', 'deny'],
    ['tar xfC a.tar /etc', 'deny'],
    ['tar --extract --file a.tar --directory=/etc', 'deny'],
    ['tar --extr --file a.tar --dir /etc', 'deny'],
    ['tar --ext -f a.tar -C /etc', 'deny'],
    ['tar xf a.tar', 'deny', { cwd: '/etc' }],
    ['tar xf a.tar', 'confirm'],
    ['tar xf a.tar -C /', 'confirm'],
    ['tar xPf a.tar -C /tmp', 'confirm'],
    ['tar xf a.tar -C "$d"', 'confirm'],
    ['tar xf a.tar', 'allow', { cwd: '/tmp' }],
    ['tar xf /etc/a.tar -C /tmp', 'allow'],
    ['tar -xzf a.tgz -C "$(mktemp -d)"', 'allow'],
    ['tar xOf a.tar etc/x', 'allow'],
    ['tar tf /etc/a.tar', 'allow'],
    ['tar cf - -C /etc .', 'allow'],
    ['tar czf /tmp/a.tgz /etc', 'allow'],
  ],
  shortened: [
    ...['cp --t=/etc a', 'cp --ta /etc a', 'mv --t /etc a', 'ln -s --t=/etc a', 'install --t=/etc a'].map(
      (cmd): Row => [cmd, 'deny'],
    ),
  ],
  unzip: [
    ['unzip a.zip -d /etc', 'deny'],
    ['unzip -oqd /etc a.zip', 'deny'],
    ['unzip a.zip -d /', 'confirm'],
    ['unzip a.zip', 'confirm'],
    ['unzip a.zip -d out', 'allow'],
    ['unzip -l a.zip', 'allow'],
    ['unzip -p a.zip x', 'allow'],
  ],
  patch: [
    ['patch /etc/hosts x.patch', 'deny'],
    ['patch -d /etc hosts x.patch', 'deny'],
    ['patch -p1 -d /etc < x.patch', 'deny'],
    ['patch -o /etc/x a x.patch', 'deny'],
    ['patch -p1 -i /etc/x.patch', 'confirm'],
    ['patch -p1 < x.patch', 'allow', { cwd: '/srv/other' }],
    ['patch src/x.ts x.patch', 'allow'],
  ],
  rsync: [
    ['rsync x /etc/', 'deny'],
    ['rsync -a x /etc/x --delete', 'deny'],
    ['rsync -a h:x /etc', 'deny'],
    ['rsync -av etc/ /etc/ --exclude x', 'deny'],
    ['rsync --log-file=/etc/log a h:b', 'deny'],
    ['rsync -a x /srv/app', 'confirm'],
    ['rsync -a x "$y"', 'confirm'],
    ['rsync x /srv/app', 'allow'],
    ['rsync -a /etc/ h:x', 'allow'],
    ['rsync -a /etc/ "deploy@$h:/etc/"', 'allow'],
    ['rsync -a /etc/ rsync://h/etc', 'allow'],
    ['rsync /etc/', 'allow'],
  ],
  'copies, and other programs': [
    ['cp -r x/. /srv/app', 'confirm'],
    ['cp -S .bak x /etc/x', 'deny'],
    ['cp x /etc/x -S .bak', 'deny'],
    ['cp x y -t /etc', 'deny'],
    ['cp -r /etc /tmp', 'allow'],
    ['install -d /etc/a /srv/b', 'deny'],
    ['install -m 600 -o root x /etc/x', 'deny'],
    ['touch /etc/nologin', 'deny'],
    ['touch -r /etc/x y', 'allow'],
    ['truncate -s 0 /etc/x', 'deny'],
    ['truncate -r /etc/x y', 'allow'],
    ['wget -P /etc https://example.com/x', 'deny'],
    ['wget -qO /etc/x https://example.com/x', 'deny'],
    ['curl --output-dir /etc -O https://example.com/x', 'deny'],
    ['curl -o /etc/x https://example.com/x', 'deny'],
    ['ln -s x /etc/x', 'deny'],
  ],
};

for (const [program, rows] of Object.entries(PROGRAMS)) {
  describe(`files that are written by ${program}`, () => {
    test.each(rows.map(([cmd, action, more]) => [cmd, action, more ?? {}] as const))(
      '%s: %s %j',
      (cmd, action, more) => {
        const decision = decided(RULES, cmd, more);
        expect(`${cmd}: ${decision.action}`).toBe(`${cmd}: ${action}`);
      },
    );
  });
}

describe('a pattern of files that begins with a star is about any directory', () => {
  const rules = ruleset(
    'deny',
    { action: 'deny', writes: ['*/.env', '*/config/*'] },
    { action: 'allow', writes: '*/out/*' },
  );
  const rows: readonly Row[] = [
    ['> .env', 'deny'],
    ['> ./.env', 'deny'],
    ['> x/.env', 'deny'],
    ['> /srv/.env', 'deny'],
    ['> config/x', 'deny'],
    ['> out/x', 'allow'],
    ['> x', 'deny'],
    ['cd "$d"; > out/x', 'deny'],
  ];
  test.each(rows)('%s: %s', (cmd, action) => {
    expect(decided(rules, cmd).action).toBe(action);
  });

  test('and asked about where nobody knows that', () => {
    const asked = ruleset('allow', { action: 'deny', writes: '*/.env' });
    expect(decided(asked, 'cd "$d"; > .env').action).toBe('confirm');
    expect(decided(asked, 'cd "$d"; > x.log').action).toBe('allow');
  });
});
