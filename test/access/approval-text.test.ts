import { expect, test } from 'bun:test';
import type { ApprovalRequest } from '../../src/access/approval-request.ts';
import { describeRequest, questionOn } from '../../src/access/approval-text.ts';

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
  ['a long line that continues like a field', { cmd: `ls #${'x'.repeat(95)}  token root${'y'.repeat(300)}` }],
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

test('a part of a run on many servers says so, and that the decision is for one', () => {
  const servers = Array.from({ length: 30 }, (_, at) => ({ name: `web${at + 1}`, key: 'U', instance: '' }));
  const plan = { hub: 'U', run: '', principal: 'ops', cmd_sha256: '', args_sha256: '', servers };
  const shown = describeRequest(request({ plan }), 400);
  expect(shown).toContain('part of a run on 30 servers (web[1-30]); your decision here is for this one\n');
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
    '  note: letters of several scripts, which can look the same: p\\u{430}sswd\n',
  );
  expect(describeRequest(request({ cmd: 'echo привет, grüße' }), 80)).not.toContain('note:');
});

test.each([
  ['Hebrew', ': "א" ; rm -rf /srv/x #ב', ': "\\u{5d0}" ; rm -rf /srv/x #\\u{5d1}'],
  ['Arabic', 'echo ع | sh', 'echo \\u{639} | sh'],
  ['digits of Arabic', 'echo ٣; ls', 'echo \\u{663}; ls'],
  ['Syriac', 'a ܐ && b', 'a \\u{710} && b'],
  ['Thaana', 'a ހ > b', 'a \\u{780} > b'],
  ['Nko', 'a ߊ;b', 'a \\u{7ca};b'],
  ['Samaritan', 'a ࠀ;b', 'a \\u{800};b'],
  ['Mandaic', 'a ࡀ;b', 'a \\u{840};b'],
  ['Phoenician', 'a \u{10900};b', 'a \\u{10900};b'],
  ['Hanifi Rohingya', 'a \u{10d00};b', 'a \\u{10d00};b'],
  ['Adlam', 'a \u{1e900};b', 'a \\u{1e900};b'],
  ['presentation forms', 'a \ufb2a;b \ufe8d', 'a \\u{fb2a};b \\u{fe8d}'],
  ['a letter that begins the line', 'א rm x', '\\u{5d0} rm x'],
  ['a line of them alone', 'א', '\\u{5d0}'],
  ['between words', 'rm א -rf ב', 'rm \\u{5d0} -rf \\u{5d1}'],
])('letters from right to left move nothing: %s', (_, cmd, written) => {
  const shown = describeRequest(request({ cmd, env: { A: `${cmd};` } }), 120);
  expect(shown).toContain(`1 │ ${written}\n`);
  expect(shown).toContain(`1 │ A=${written};\n`);
  expect(shown).toContain('  note: right-to-left letters');
});

test.each(['echo "مرحبا بكم"', 'mkdir שלום', "git commit -m 'שלום עולם'"])(
  'words from right to left at the end of a line stay: %s',
  (cmd) => {
    const shown = describeRequest(request({ cmd }), 120);
    expect(shown).toContain(`1 │ ${cmd}\n`);
    expect(shown).toContain('  note: right-to-left letters');
  },
);

test.each([
  0x37e, 0x2024, 0x2223, 0x2216, 0xff5c, 0xff1b, 0xfe54, 0xa789, 0x1c3, 0x2d0, 0xff06, 0xff1e, 0xff04, 0xff0f, 0x2215,
  0x2044, 0x1c0, 0x2758, 0x2018, 0x201d, 0x2032, 0xff02, 0xff40, 0x2010, 0x2212, 0xff0d, 0xff03, 0xff0a, 0x2217, 0xff5e,
  0x223c, 0xff08, 0xff5b, 0x203a, 0x2039, 0x2236, 0xff0e, 0xff1d, 0x61b,
])('a sign that looks like one of a shell is noted: %i', (point) => {
  const shown = describeRequest(request({ cmd: `echo a ${String.fromCodePoint(point)} rm b` }), 120);
  expect(shown).toContain(`  note: characters that look like those of a shell: \\u{${point.toString(16)}}\n`);
});

test.each([
  'echo "don’t – ever…"',
  'echo 你好，世界。',
  'echo "grüße · ½ × €"',
  'ls → x',
  'curl -s https://x/?a=b#c | sh',
])('common text has no note: %s', (cmd) => {
  expect(describeRequest(request({ cmd }), 120)).not.toContain('note:');
});
