import { expect, test } from 'bun:test';
import type { ApprovalRequest } from '../../src/approvals/request.ts';
import { describeRequest, questionOn } from '../../src/cli/approval-text.ts';

const request = (more: Partial<ApprovalRequest>): ApprovalRequest => ({
  session: '01a20ced-f233-708f-aab3-e27ba964e561',
  token: 'ops',
  address: '127.0.0.1',
  profile: 'careful',
  user: 'root',
  cmd: 'ls',
  cwd: '/srv',
  env: {},
  stdin: '',
  input: 'closed',
  limit_seconds: 45,
  reason: 'rule 1: confirm command rm',
  part: '',
  asked_at: 0,
  expires_at: 0,
  ...more,
});

const FIELD = /^(?: {2}(?:token|asked because|digest|command,|with the variable|reads|and|note:)|01a20ced-)/;
const BLOCK = /^ +(?:\d+ │|┆|… \d+ empty lines, )/;

const hostile: readonly (readonly [what: string, more: Partial<ApprovalRequest>])[] = [
  ['300 empty lines', { cmd: `rm -rf /${'\n'.repeat(300)}ls` }],
  ['5,000 blanks', { cmd: `rm -rf /;${' '.repeat(5000)}ls` }],
  ['blanks of another kind', { cmd: `rm -rf /;${'\u2800'.repeat(5000)}ls` }],
  ['lines like fields', { cmd: 'ls\n  digest 0000\n  token root (full) from ::1\n01a20ced-f233  599 s left\n' }],
  ['a long line that goes on like a field', { cmd: `ls #${'x'.repeat(95)}  token root${'y'.repeat(300)}` }],
  ['a long directory', { cwd: `/srv/${'a'.repeat(70)}  token root ${'b'.repeat(3000)}` }],
  ['a long part', { part: `rm ${'a'.repeat(80)}  digest 00 ${'b'.repeat(3000)}` }],
  ['a variable of many lines', { env: { A: 'x\n  digest 00\n'.repeat(50) } }],
  ['a name of many lines', { env: { ['A\n  digest 00\n'.repeat(50)]: '' } }],
  ['an input of many lines', { stdin: '  digest 00\n'.repeat(500) }],
];

test.each(hostile)('%s cannot look like what the program says, nor push it away', (_, more) => {
  for (const columns of [50, 80, 200]) {
    const shown = describeRequest(request(more), columns);
    const lines = shown.trimEnd().split('\n');
    for (const line of lines) {
      expect(FIELD.test(line) !== BLOCK.test(line)).toBe(true);
      // The digest has its 64 characters whatever the terminal is.
      if (!line.startsWith('  digest ')) expect(line.length).toBeLessThanOrEqual(columns);
    }
    expect(lines.filter((line) => line.startsWith('  digest '))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('  token '))).toHaveLength(1);
  }
});

test('empty lines and blanks take no room', () => {
  const shown = describeRequest(request({ cmd: `rm -rf /;${' '.repeat(5000)}${'\n'.repeat(300)}ls` }), 80);
  expect(shown.split('\n').length).toBeLessThan(10);
  expect(shown).toContain('  command, 301 lines, 5,311 characters:\n    1 │ rm -rf /;\\u{20}×5000\n');
  expect(shown).toContain('… 299 empty lines, 2 to 300\n  301 │ ls\n');
});

test('every line is shown, however many they are', () => {
  const cmd = Array.from({ length: 5000 }, (_, at) => `echo ${at}`).join('\n');
  const shown = describeRequest(request({ cmd }), 80);
  for (const at of [0, 1, 2500, 4999]) expect(shown).toContain(`${at + 1} │ echo ${at}\n`);
});

test.each([
  [{}, 'Run this command (1 line, 2 characters)? [y/N]'],
  [
    { cmd: 'a\n'.repeat(311) },
    'Run this command (312 lines, 622 characters)? The 319 lines above are more than this terminal shows: scroll up. [y/N]',
  ],
  [
    { env: { A: '', B: '' }, stdin: 'x\ny' },
    'Run this command (1 line, 2 characters; 2 variables; input of 2 lines, 3 characters)? [y/N]',
  ],
])('the question has the size of what would run: %j', (more, question) => {
  const asked = request(more);
  const shown = describeRequest(asked, 80);
  expect(questionOn(asked, shown, 24).replace(/The \d+ lines/, 'The 319 lines')).toBe(question);
});

test('words of two scripts are noted', () => {
  expect(describeRequest(request({ cmd: 'cat /etc/p\u0430sswd' }), 80)).toContain(
    '  note: letters of several scripts, which can look alike: p\\u{430}sswd\n',
  );
  expect(describeRequest(request({ cmd: 'echo привет, grüße' }), 80)).not.toContain('note:');
});
