// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { expect, test } from 'bun:test';
import { decide, decideInTurns } from '../../src/rules/decide.ts';
import { cpuMs } from '../helpers/growth.ts';
import { ruleset } from './rulesets.ts';

const RULES = ruleset(
  'deny',
  { action: 'deny', command: 'rm', flags: ['-r', '--recursive'] },
  { action: 'deny', arguments: ['/etc/*'] },
  { action: 'confirm', command: ['reboot', 'mkfs*', 'dd'] },
  { action: 'confirm', writes: ['/etc/*', '/boot/*'] },
  { action: 'allow', command: ['ls', 'cat', 'echo'], arguments: ['...'] },
);

const PIECES = [
  ...['ls;', 'rm -rf /x;', 'a b c ', 'echo "$(ls)" ', 'x=$y;', '> f;', 'sudo ', '{a,b}', '${x:-y}', '$((1+1)) '],
  ...[
    'ls | cat;',
    'f() { ls; };',
    '[[ a == b ]];',
    'ssh h ls;',
    "bash -c 'ls';",
    'find . -exec ls \\; ',
    '$a ',
    '`ls`',
  ],
  ...['sshpass -p x ', '$(', '((', 'cat <<E\nx\nE\n', 'a=(b) '],
];

/** Milliseconds of CPU that nobody else is served for: a busy machine takes more than this one does. */
const MOST_MS = 150;
const ATTEMPTS = 4;

test.each(PIECES)(
  'a long command is judged in pieces, as it is in one: %j',
  async (piece) => {
    for (const length of [99_990, 30_000, 12_000]) {
      const cmd = piece.repeat(length / piece.length);
      const proposal = { cmd, shell: '/bin/bash', cwd: '/srv', env: {}, stdin: '', isOpen: false };
      let longest = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < ATTEMPTS && longest > MOST_MS; attempt++) {
        longest = 0;
        let begin = cpuMs();
        const turn = async (): Promise<void> => {
          longest = Math.max(longest, cpuMs() - begin);
          begin = cpuMs();
        };
        const decision = await decideInTurns(RULES, proposal, turn);
        await turn();
        if (attempt === 0) expect(decision).toEqual(decide(RULES, proposal));
      }
      expect(longest).toBeLessThanOrEqual(MOST_MS);
    }
  },
  60_000,
);
