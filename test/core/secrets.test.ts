// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import { maskCommand, maskSecrets } from '../../src/core/secrets.ts';
import { HOSTILE_PIECES, slowPieces } from '../helpers/growth.ts';

const rows: readonly [text: string, masked: string][] = [
  ['mysql -u root -phunter22 db', 'mysql -u root -p‹password› db'],
  ['PGPASSWORD=hunter2 psql', 'PGPASSWORD=‹password› psql'],
  ['export DB_PASSWORD="hunter2"', 'export DB_PASSWORD="‹password›"'],
  ['--password hunter2 --x', '--password ‹password› --x'],
  ['--password=hunter2', '--password=‹password›'],
  ['"api_key": "abcdef123"', '"api_key": "‹password›"'],
  ['client-secret: abcdef', 'client-secret: ‹password›'],
  ['AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG', 'AWS_SECRET_ACCESS_KEY=‹password›'],
  ['curl -H "Authorization: Bearer abc.def" x', 'curl -H "Authorization: Bearer ‹authorization›" x'],
  ['curl -H "X-Auth-Token: abcdef" x', 'curl -H "X-Auth-Token: ‹token›" x'],
  ['curl -u me:hunter2 https://x', 'curl -u me:‹password› https://x'],
  ['git clone https://me:hunter2@example.com/x.git', 'git clone https://me:‹password›@example.com/x.git'],
  ['postgres://app:s3cr3t@db/x', 'postgres://app:‹password›@db/x'],
  ['AKIAIOSFODNN7EXAMPLE', '‹aws key›'],
  ['ghp_0123456789abcdefghijABCDEFGHIJ012345', '‹github token›'],
  ['sk-proj-' + 'abcdefghij0123456789', '‹api key›'],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', '‹jwt›'],
  ['root:$6$saltsalt$hashhashhash:19000:0', 'root:‹password hash›:19000:0'],
  ['a\n-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nb', 'a\n‹private key›\nb'],
  ['-----BEGIN PRIVATE KEY-----\nabc', '‹private key›'],
  ['abc\n-----END RSA PRIVATE KEY-----\nb', '‹private key›\nb'],
];

const plain = [
  'ls -la /srv',
  'password=$PASSWORD',
  'PASSWORD=${X}',
  'echo "the password is wrong"',
  'grep -p x y',
  'https://example.com/a:b',
  'http://host:8080/x',
  'date 12:30:45',
  'token: null',
  'ssh -p 2222 host',
  '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----',
  'PASS: 12',
  'PWD=/home/x/app',
  'OLDPWD=/srv',
  'pwd: /home/x',
  'passwd=/etc/passwd',
];

describe('a secret is masked', () => {
  test.each(rows)('%s', (text, masked) => {
    expect(maskSecrets(text).text).toBe(masked);
  });

  test('that is known, whatever it looks like', () => {
    expect(maskSecrets('x=plain-value-1 y', { values: ['plain-value-1', 'y'] })).toEqual({
      text: 'x=‹token› y',
      count: 1,
    });
  });

  test('that only its hash is known of', () => {
    const [token, other] = ['t'.repeat(43), 'o'.repeat(43)];
    const known = { values: [], isToken: (word: string) => word === token };
    expect(maskSecrets(`${other} "${token}" ${token}x`, known)).toEqual({
      text: `${other} "‹token›" ${token}x`,
      count: 1,
    });
  });
});

test.each(plain)('what is none stays: %s', (text) => {
  expect(maskSecrets(text)).toEqual({ text, count: 0 });
});

const KEY_LINES = [
  'MC4CAQAwBQYDK2VwBCIEIJ8Zr5wG7yX1tq0Qd3mVx9kPz2bN4hL6sF1aE7uYc0Rt',
  'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz',
];
const PEM = `-----BEGIN PRIVATE KEY-----\n${KEY_LINES.join('\n')}\nAb3=\n-----END PRIVATE KEY-----`;

describe('in a command', () => {
  const hidden: readonly [cmd: string, masked: string][] = [
    ...rows.filter(([text]) => !text.includes('PRIVATE KEY')),
    [`cat > key <<'E'\n${PEM}\nE`, "cat > key <<'E'\n‹private key›\nE"],
    [`printf "${PEM.replaceAll('\n', '\\n')}" > key`, 'printf "‹private key›" > key'],
    ['curl -H "Cookie: a=b; c=d" x', 'curl -H "Cookie: ‹token›; c=d" x'],
  ];
  test.each(hidden)('a secret is masked: %s', (cmd, masked) => {
    expect(maskCommand(cmd).text).toBe(masked);
  });

  const cloaks: readonly [cmd: string, hasToShow: string][] = [
    ['evil # -----END PRIVATE KEY-----', 'evil'],
    [': -----BEGIN PRIVATE KEY-----; evil', 'evil'],
    [': -----BEGIN PRIVATE KEY-----; evil; : -----END PRIVATE KEY-----', 'evil'],
    [': -----BEGIN PRIVATE KEY-----\nevil x\n: -----END PRIVATE KEY-----', 'evil x'],
    [': -----BEGIN PRIVATE KEY-----\n/sbin/reboot\n-----END PRIVATE KEY-----', '/sbin/reboot'],
    [`: -----BEGIN PRIVATE KEY-----\n${KEY_LINES[0]}\nreboot\n-----END PRIVATE KEY-----`, 'reboot'],
    [`: -----BEGIN PRIVATE KEY-----\n${'/'.repeat(50)}sbin/A9\n-----END PRIVATE KEY-----`, 'sbin/A9'],
    [': -----BEGIN PRIVATE KEY-----\nComment: x; evil\nAb3=\n-----END PRIVATE KEY-----', 'evil'],
    ['cookie:x;rm${IFS}-rf', 'rm${IFS}-rf'],
    ['cookie:x|evil', '|evil'],
    ['cookie:x&&evil', '&&evil'],
    ['cookie:x>/etc/passwd', '>/etc/passwd'],
    ['cookie:x`evil`', 'evil'],
    ['cookie:$(evil)', 'evil'],
    ['cookie:x$(evil)', 'evil'],
    ['cookie:\nevil', 'evil'],
    ['--password\nevil', 'evil'],
    ['password= ./evil', './evil'],
    ['password=\t"evil"', 'evil'],
    ['authorization=bearer evil', 'evil'],
    ['x-auth-token=abc;evil', 'evil'],
    ['https://a:abc;evil@x', 'evil'],
    ['--token abc;evil', 'evil'],
    ['mysql x -pabc;evil', 'evil'],
    ['$1$abcdefgh;evil', 'evil'],
    ['-u a:bcd;evil', 'evil'],
  ];
  test.each(cloaks)('no mark hides what runs: %s', (cmd, hasToShow) => {
    expect(maskCommand(cmd).text).toContain(hasToShow);
  });

  test('a known secret is masked whatever it is made of', () => {
    expect(maskCommand('x abc;def;ghi y', { values: ['abc;def;ghi'] }).text).toBe('x ‹token› y');
  });
});

test('takes time with the length of a text, whatever it is made of', () => {
  const hard = [
    'eyJ',
    'password',
    'password=',
    '$6$',
    '-----BEGIN PRIVATE KEY-----',
    '-----END PRIVATE KEY-----',
    'a://',
    'a:',
    '_pass',
    'sk-',
    'mysql ',
    'authorization:',
    ' ',
    'x-',
    '-u a',
    'cookie:a;',
    '-----BEGIN PRIVATE KEY-----\nAb3=\n-----END PRIVATE KEY-----',
    '-----',
  ];
  for (const [piece, mask] of hard.flatMap((one) => [maskSecrets, maskCommand].map((by) => [one, by] as const))) {
    const time = (length: number): number => {
      const text = piece.repeat(length / piece.length);
      const start = performance.now();
      mask(text);
      return performance.now() - start;
    };
    time(50_000);
    // Four times the text takes sixteen times as long where it is quadratic; a second tells that from noise.
    expect({ piece, ok: time(400_000) < 1000 }).toEqual({ piece, ok: true });
  }
});

test('takes no longer for what was made to hold it up', () => {
  const marks = ['_', '--', '_-', '-----BEGIN A ', '://a:', '.eyJaaaaaaaaa.', ' -p', 'mysql -p ', 'cookie:ab ', '=$('];
  expect(slowPieces([...HOSTILE_PIECES, ...marks], (text) => maskSecrets(text))).toEqual([]);
});
