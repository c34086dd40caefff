import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { secretSpans } from '../../src/core/secrets.ts';

/** Of 10,000 lines that hold no secret, at most one is changed. */
const MOST_OF_10_000 = 1;
const ENOUGH_BYTES = 4_000_000;

function output(cmd: string): string {
  return Bun.spawnSync(['/bin/sh', '-c', `${cmd} 2>/dev/null`], { maxBuffer: 64 * 1_048_576 })
    .stdout.toString()
    .slice(0, ENOUGH_BYTES);
}

/** The text of files below a directory, in the order of their names. */
function sources(directory: string, name: RegExp): string {
  const parts: string[] = [];
  let bytes = 0;
  const visit = (path: string): void => {
    if (bytes > ENOUGH_BYTES || !existsSync(path)) return;
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inner = join(path, entry.name);
      // Those of tests and examples are made-up secrets.
      if (/test|spec|example|fixture|bench/i.test(entry.name)) continue;
      if (entry.isDirectory()) visit(inner);
      else if (entry.isFile() && name.test(entry.name) && bytes <= ENOUGH_BYTES && statSync(inner).size < 1_000_000) {
        parts.push(readFileSync(inner, 'utf8'));
        bytes += parts.at(-1)?.length ?? 0;
      }
    }
  };
  visit(directory);
  return parts.join('\n');
}

/** The lines of a text that would be changed, in parts as an answer has them. */
function alarms(text: string): string[] {
  const found = new Set<string>();
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', Math.min(text.length, at + 90_000));
    const end = newline === -1 ? text.length : newline + 1;
    const part = text.slice(at, end);
    for (const { start } of secretSpans(part)) {
      const begin = part.lastIndexOf('\n', start - 1) + 1;
      found.add(`${at + begin}: ${part.slice(begin, begin + 200).split('\n')[0]}`);
    }
    at = end;
  }
  return [...found];
}

describe('hardly a line is changed that holds no secret, of', () => {
  const kinds: readonly (readonly [what: string, text: () => string, least: number])[] = [
    ['ls -laR /etc', () => output('ls -laR /etc'), 200],
    ['ls -laR /usr', () => output('ls -laR /usr/share /usr/lib'), 5000],
    ['ps aux', () => output('ps auxww; ps -ef; ps -eo pid,args'), 5],
    ['git log', () => output('git log'), 0],
    ['dpkg -l', () => output('dpkg -l'), 0],
    ['the log of dpkg', () => output('cat /var/log/dpkg.log /var/log/apt/history.log'), 0],
    ['journalctl', () => output('journalctl -n 50000 --no-pager'), 0],
    [
      'mount, df, ip, ss and env of a shell',
      () => output('mount; df; ip addr; ss -tan; env -i sh -c set; id; uname -a'),
      5,
    ],
    [
      '/etc/passwd and its like',
      () => output('cat /etc/passwd /etc/group /etc/services /etc/protocols /etc/nsswitch.conf /etc/login.defs'),
      20,
    ],
    ['TypeScript', () => sources('node_modules', /\.ts$/), 1000],
    ['JavaScript', () => sources('node_modules', /^(?!.*\.min\.).*\.js$/), 1000],
    [
      'Python',
      () => ['/usr/lib/python3.11', '/usr/lib/python3.13'].map((path) => sources(path, /\.py$/)).join('\n'),
      0,
    ],
    ['Perl', () => ['/usr/share/perl', '/usr/share/perl5'].map((path) => sources(path, /\.p[lm]$/)).join('\n'), 0],
  ];
  test.each(kinds)('%s', (_, text, least) => {
    const shown = text();
    const lines = shown.split('\n').length;
    expect(lines).toBeGreaterThanOrEqual(least);
    const found = alarms(shown);
    expect({ few: found.length <= Math.max(0, (lines / 10_000) * MOST_OF_10_000), found }).toEqual({
      few: true,
      found: found.length === 0 ? [] : expect.anything(),
    });
  });
});
