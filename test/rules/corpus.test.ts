import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decided, ruleset } from './rulesets.ts';

/** 5,311 commands of NL2Bash (MIT), which people wrote for questions on the web; it is next to the repository, not in it. */
const CORPUS = join(import.meta.dir, '../../../shared/corpus/commands.txt');
const isThere = existsSync(CORPUS);
const MAX_CONFIRM = 0.08;

const MODEST = ruleset(
  'allow',
  { action: 'deny', command: ['rm', 'shred', 'dd', 'mkfs*'], flags: '-r' },
  { action: 'confirm', command: ['systemctl', 'reboot', 'shutdown', 'passwd', 'userdel'] },
  { action: 'confirm', command: 'git', arguments: 'push' },
  { action: 'deny', writes: '/etc/*' },
);

/** What the rules name, found without reading the command as a shell does. */
const NAMED =
  /(?<![\w.-])(?:rm|shred|dd|mkfs(?:\.\w+)?|systemctl|reboot|shutdown|passwd|userdel)(?![\w-])|\bgit\b.*\bpush\b|\/etc(?:\/|\b)/;

/** Each line of the corpus that names something of the rules, with what a person says becomes of it, and why. */
const verdicts = readFileSync(join(import.meta.dir, 'corpus-verdicts.tsv'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => {
    const [action = '', why = '', ...cmd] = line.split('\t');
    return { action, why, cmd: cmd.join('\t') };
  });

describe('commands of others that name what a rule is about', () => {
  test.each(verdicts)('$action, as it $why: $cmd', ({ action, cmd }) => {
    expect(decided(MODEST, cmd).action as string).toBe(action);
  });
});

describe(isThere ? 'the corpus' : `the corpus, skipped because ${CORPUS} is not there`, () => {
  const commands = isThere ? readFileSync(CORPUS, 'utf8').split('\n').filter(Boolean) : [];

  test.skipIf(!isThere)('is asked about seldom', () => {
    const asked = commands.filter((cmd) => decided(MODEST, cmd).action === 'confirm');
    expect(asked.length / commands.length).toBeLessThan(MAX_CONFIRM);
  });

  test.skipIf(!isThere)('has a verdict for each line that names what a rule is about', () => {
    expect(commands.filter((cmd) => NAMED.test(cmd))).toEqual(verdicts.map(({ cmd }) => cmd));
  });
});
