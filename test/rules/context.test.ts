import { describe, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { contextCommand, contextInput } from '../../src/contexts/shell-script.ts';
import type { Brought } from '../../src/rules/context.ts';
import { decide } from '../../src/rules/decide.ts';
import { ruleOf } from '../../src/rules/rule.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const RULES = {
  rules: [ruleOf({ action: 'deny', command: 'rm' })],
  otherwise: 'allow',
  unreadable: 'confirm',
} as const;

const item = (kind: Brought['kind'], name: string, text: string): Brought => ({ kind, name, text });
const decisionOn = (cmd: string, ...brought: readonly Brought[]) =>
  decide(RULES, { cmd, shell: 'bash', cwd: '/', env: {}, stdin: '', isOpen: false, brought });

const SYSTEMCTL = item('function', 'systemctl', 'systemctl () \n{ \n    command rm -rf "$@"\n}');
const LL = item('alias', 'll', "alias ll='rm -rf'");

describe('a command that calls what its context defines', () => {
  test.each([
    'systemctl status',
    'true; systemctl status',
    'date | systemctl',
    '(systemctl stop x)',
    'echo "$(systemctl x)"',
    'if systemctl is-active x; then date; fi',
    'f() { systemctl x; }; f',
    'for x in a b; do systemctl $x; done',
    "eval 'systemctl x'",
    "bash -c 'systemctl x'",
    'systemctl() { date; }; systemctl',
  ])('cannot be read: %s', (cmd) =>
    expect(decisionOn(cmd, SYSTEMCTL)).toMatchObject({ action: 'confirm', reason: 'its context defines systemctl' }),
  );

  test('is one by an alias too', () => {
    const expands = item('option', 'expand_aliases', 'shopt -s expand_aliases');
    expect(decisionOn('ll /tmp', LL, expands)).toMatchObject({ action: 'confirm', reason: 'its context defines ll' });
  });

  test('and what it does not call changes nothing', () => {
    expect(decisionOn('date; uptime', SYSTEMCTL, LL).action).toBe('allow');
    expect(decisionOn('rm x', SYSTEMCTL).action).toBe('deny');
  });
});

describe('a context that changes what commands mean', () => {
  test.each([
    item('variable', 'PATH', 'declare -x PATH="/tmp/x:/bin"'),
    item('variable', 'PATH', 'unset -v PATH'),
    item('variable', 'IFS', 'declare -- IFS="r"'),
    item('variable', 'BASH_ENV', 'declare -x BASH_ENV="/tmp/x"'),
    item('variable', 'LD_PRELOAD', 'declare -x LD_PRELOAD="/tmp/x"'),
    item('variable', 'x', 'declare -l x="rm"'),
    item('variable', 'x', 'declare -r x="rm"'),
    item('variable', 'x', 'declare -n x="PATH"'),
    item('option', 'posix', 'set -o posix'),
    item('option', 'autocd', 'shopt -s autocd'),
    item('function', 'command_not_found_handle', 'command_not_found_handle () \n{ \n    rm "$1"\n}'),
    item('function', 'f', 'f () \n{ \n    :\n}\nrm -rf /'),
    item('function', 'f', 'g () \n{ \n    :\n}'),
    item('function', 'f', 'f () \n{ \n    :\n'),
  ])('makes each of them unreadable: %j', (one) => expect(decisionOn('date', one).action).toBe('confirm'));

  test.each([
    item('variable', 'x', 'declare -x x="rm -rf /"'),
    item('variable', 'x', 'declare -a x=([0]="a")'),
    item('variable', 'x', 'unset -v x'),
    item('option', 'pipefail', 'set -o pipefail'),
    item('option', 'errexit', 'set -o errexit'),
    item('option', 'extglob', 'shopt -s extglob'),
    item('attribute', 'f', 'declare -fx f'),
  ])('is not one that only sets %j', (one) => expect(decisionOn('date', one).action).toBe('allow'));

  test('but a name in its variable is known to nobody', () => {
    const x = item('variable', 'x', 'declare -- x="rm"');
    expect(decisionOn('$x -rf /tmp/a', x).action).toBe('confirm');
    expect(decisionOn('x=date; $x', x).action).toBe('allow');
  });

  test('nor a text in it that arithmetic would run', () => {
    const x = item('variable', 'x', 'declare -- x="a[\\$(rm y)]"');
    expect(decisionOn('((x))', x).action).toBe('confirm');
  });
});

describe('what a context defines and no command of it names', () => {
  /** Every kind of line, without a program: whatever runs then was brought. */
  const LINES = `if ((1)); then x=1; elif ((0)); then x=2; else x=3; fi; for i in 1; do x=1; done; while ((0)); do x=1; done
until ((1)); do x=1; done; case x in x) x=1 ;; esac; { x=1; }; ! ((0)); [[ a ]]; time ((1)); h() { x=1; }
function k { x=1; }; coproc c { x=1; }`;
  const names = execFileSync('bash', ['-c', 'compgen -b; compgen -k; echo h; echo k; echo c'], { encoding: 'utf8' });
  const expands = item('option', 'expand_aliases', 'shopt -s expand_aliases');
  /** What the shell restores after that, and runs a builtin for. */
  const RESTORED = [
    item('function', 'g', 'g () \n{ \n    :\n}'),
    item('attribute', 'g', 'declare -fx g'),
    item('option', 'nullglob', 'shopt -s nullglob'),
    item('alias', 'll', "alias ll='ls'"),
    item('option', 'pipefail', 'set -o pipefail'),
  ];

  const doesRun = async (brought: readonly Brought[], cmd: string): Promise<boolean> => {
    using directory = new TemporaryDirectory();
    writeFileSync(directory.join('in'), contextInput(brought, cmd, new Set()));
    const [input, one, other] = [
      openSync(directory.join('in'), 'r'),
      openSync(directory.join('out'), 'a'),
      openSync(directory.join('out'), 'a'),
    ];
    const line = contextCommand({ input: 3, output: [4, 5] });
    const shell = Bun.spawn(['bash', '-c', line], {
      cwd: directory.path,
      stdio: ['ignore', 'ignore', 'ignore', input, one, other],
    });
    await shell.exited;
    for (const fd of [input, one, other]) closeSync(fd);
    return existsSync(directory.join('victim'));
  };

  test.each(names.trim().split('\n'))('makes a command unreadable where bash would run it: %s', async (name) => {
    const touches = '/usr/bin/touch victim';
    for (const brought of [
      [item('function', name, `${name} () \n{ \n    ${touches}\n}`), ...RESTORED],
      [expands, item('alias', name, `alias -- ${name}='${touches}; ${name}'`), ...RESTORED],
      [expands, item('alias', name, `alias -- ${name}='${name}; ${touches};'`), ...RESTORED],
    ]) {
      const isAllowed = decisionOn(LINES, ...brought).action === 'allow';
      if (isAllowed) expect(await doesRun(brought, LINES)).toBe(false);
    }
  });
});
