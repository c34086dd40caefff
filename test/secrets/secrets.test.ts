// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import { maskCommand, maskSecrets } from '../../src/secrets/secrets.ts';
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
  ['a\n-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nb', 'a\n‹private key›\nb'],
  ['-----BEGIN PRIVATE KEY-----\nabc', '‹private key›'],
  ['abc\n-----END RSA PRIVATE KEY-----\nb', '‹private key›\nb'],
  // What is in quotes is one value.
  ['password: "two words"', 'password: "‹password›"'],
  ["PASSWORD='correct horse battery'", "PASSWORD='‹password›'"],
  ['"secret": "a b c"', '"secret": "‹password›"'],
  ['--password "two words" x', '--password "‹password›" x'],
  ['--password="two words" x', '--password="‹password›" x'],
  [`export A="x y" PASSWORD='two words' B=2`, `export A="x y" PASSWORD='‹password›' B=2`],
  ['java -Dpassword="two words" x', 'java -Dpassword="‹password›" x'],
  ["mysql -u root -p'two words' db", "mysql -u root -p'‹password›' db"],
  ["curl -H 'Authorization: Bearer abc def' x", "curl -H 'Authorization: Bearer ‹authorization›' x"],
  ['curl --header="X-Auth-Token: abc def" x', 'curl --header="X-Auth-Token: ‹token›" x'],
  ['PASSWORD="x y" ; rm -rf /tmp/"y"', 'PASSWORD="‹password›" ; rm -rf /tmp/"y"'],
  [`curl -d "{\\"password\\": \\"hunter22\\"}" x`, `curl -d "{\\"password\\": \\"‹password›\\"}" x`],
  [`curl -d '{"user": "me", "password": "hunter22"}' x`, `curl -d '{"user": "me", "password": "‹password›"}' x`],
  // A blank before the sign.
  ['aws_secret_access_key = wJalrXUtnFEMI/K7MDENG', 'aws_secret_access_key = ‹password›'],
  ['x\n[default]\naws_secret_access_key = wJalrXUtnFEMI', 'x\n[default]\naws_secret_access_key = ‹password›'],
  // Arguments of certain programs.
  ['docker login -u me -p hunter22 reg', 'docker login -u me -p ‹password› reg'],
  ['sudo docker login -u "$USER" -p hunter22', 'sudo docker login -u "$USER" -p ‹password›'],
  ['x && podman login -phunter22 reg', 'x && podman login -p‹password› reg'],
  ['sshpass -p hunter22 ssh h', 'sshpass -p ‹password› ssh h'],
  ["sshpass -v -p 'two words' ssh h", "sshpass -v -p '‹password›' ssh h"],
  ['sshpass -phunter22 ssh h', 'sshpass -p‹password› ssh h'],
  ['redis-cli -h x -a hunter22 ping', 'redis-cli -h x -a ‹password› ping'],
  ['redis-cli --pass hunter22 ping', 'redis-cli --pass ‹password› ping'],
  ['echo user:hunter22 | chpasswd', 'echo user:‹password› | chpasswd'],
  ['echo "user:hunter22" | sudo chpasswd -e', 'echo "user:‹password›" | sudo chpasswd -e'],
  ["printf '%s\\n' 'user:hunter22' | chpasswd", "printf '%s\\n' 'user:‹password›' | chpasswd"],
  ['chpasswd <<< user:hunter22', 'chpasswd <<< user:‹password›'],
  ['chpasswd <<< "user:hunter22"', 'chpasswd <<< "user:‹password›"'],
  ['aws configure set aws_secret_access_key hunter22', 'aws configure set aws_secret_access_key ‹password›'],
  ['npm config set //r.example/:_authToken hunter22', 'npm config set //r.example/:_authToken ‹password›'],
  ['openssl enc -aes-256-cbc -k hunter22 -in x', 'openssl enc -aes-256-cbc -k ‹password› -in x'],
  ['openssl x -passin pass:hunter22 -passout pass:h23', 'openssl x -passin pass:‹password› -passout pass:‹password›'],
  ['htpasswd -b /etc/x me hunter22', 'htpasswd -b /etc/x me ‹password›'],
  ['htpasswd -B -bc -C 10 /etc/x me hunter22', 'htpasswd -B -bc -C 10 /etc/x me ‹password›'],
  ['htpasswd -nb me hunter22', 'htpasswd -nb me ‹password›'],
  ['htpasswd -n -b me hunter22', 'htpasswd -n -b me ‹password›'],
  ['smbclient -U user%hunter22 //h/s', 'smbclient -U user%‹password› //h/s'],
  ["smbclient //h/s -U 'DOM\\user%hunter22'", "smbclient //h/s -U 'DOM\\user%‹password›'"],
  ['ldapsearch -x -D cn=a -w hunter22 -b dc=x', 'ldapsearch -x -D cn=a -w ‹password› -b dc=x'],
  ['unzip -P hunter22 x.zip', 'unzip -P ‹password› x.zip'],
  ['zip -r "my file.zip" -P hunter22 x', 'zip -r "my file.zip" -P ‹password› x'],
  ['7z x -phunter22 a.7z', '7z x -p‹password› a.7z'],
  ["ssh h 'docker login -u me -p hunter22'", "ssh h 'docker login -u me -p ‹password›'"],
  ['<server><password>hunter22</password></server>', '<server><password>‹password›</password></server>'],
  ['<apiKey enc="1">hunter22</apiKey>', '<apiKey enc="1">‹password›</apiKey>'],
  ['<s:token>hunter22</s:token>', '<s:token>‹password›</s:token>'],
  ['<passphrase>\n hunter22\n</passphrase>', '<passphrase>\n ‹password›\n</passphrase>'],
  ['"accessToken": "hunter22"', '"accessToken": "‹password›"'],
  ['SECRET_KEY_BASE=0123456789abcdef', 'SECRET_KEY_BASE=‹password›'],
  ['ENCRYPTION_KEY=0123456789abcdef', 'ENCRYPTION_KEY=‹password›'],
  ['MASTER_KEY=0123456789abcdef', 'MASTER_KEY=‹password›'],
  ['APP_KEY=base64:0123456789abcdef=', 'APP_KEY=‹password›'],
  ['echo machine x login bob password hunter22', 'echo machine x login bob password ‹password›'],
  ['echo requirepass hunter22', 'echo requirepass ‹password›'],
];

/** In a command these would be the names of programs by themselves. */
const words: readonly [text: string, masked: string][] = [
  ['postgres://app:s3cr3t@db/x', 'postgres://app:‹password›@db/x'],
  ['AKIAIOSFODNN7EXAMPLE', '‹aws key›'],
  ['ghp_0123456789abcdefghijABCDEFGHIJ012345', '‹github token›'],
  ['sk-proj-' + 'abcdefghij0123456789', '‹api key›'],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', '‹jwt›'],
  ['root:$6$saltsalt$hashhashhash:19000:0', 'root:‹password hash›:19000:0'],
];

/** These hold what a shell would run, or might. */
const ofOutput: readonly [text: string, masked: string][] = [
  ['{"password": "say \\"hi\\" now", "user": "me"}', '{"password": "‹password›", "user": "me"}'],
  ['{\\"password\\": \\"two words\\"}', '{\\"password\\": \\"‹password›\\"}'],
  ['{"password": "two words", "user": "me"}', '{"password": "‹password›", "user": "me"}'],
  [`'{"Authorization": "Bearer abc def"}'`, `'{"Authorization": "Bearer ‹authorization›"}'`],
  ['password: "a; b $(c)"', 'password: "‹password›"'],
  ['password: "two\nwords"', 'password: "‹password›\nwords"'],
  [`password: "two ${'x'.repeat(2000)}"`, `password: "‹password› ${'x'.repeat(2000)}"`],
  ["define('DB_PASSWORD', 'hunter22');", "define('DB_PASSWORD', '‹password›');"],
  ["'password' => 'hunter22',", "'password' => '‹password›',"],
  ['secret_key_base: 0123456789abcdef', 'secret_key_base: ‹password›'],
  ['<passphrase>a b c</passphrase>', '<passphrase>‹password›</passphrase>'],
  ['+ docker login -p hunter22', '+ docker login -p ‹password›'],
  ["-H 'Cookie: a=b; c=d' x", "-H 'Cookie: ‹token›' x"],
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
  'Password: su: Authentication failure',
  'Password: \r\nsu: Authentication failure',
  'password = ;rm',
  'docker ps -p x',
  'unzip -p x.zip file',
  'ldapsearch -W -x',
  'git config set user.name me',
  'docker login -u me -p $PASSWORD',
  'echo user:hunter22 | cat',
  '<passwordPolicy>strict</passwordPolicy>',
  'const token = getToken();',
  'token = req.headers.authorization',
  'token = await next()',
  'password: string',
  'let password = process.env.DB_PASSWORD;',
  '<password>${env.PASSWORD}</password>',
];

describe('a secret is masked', () => {
  test.each([...rows, ...words, ...ofOutput])('%s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  test('that is known, whatever it looks like', () => {
    expect(maskSecrets('x=plain-value-1 y', { values: ['plain-value-1', 'y'] })).toBe('x=‹token› y');
  });

  test('that only its hash is known of', () => {
    const [token, other] = ['t'.repeat(43), 'o'.repeat(43)];
    const known = { values: [], isToken: (word: string) => word === token };
    expect(maskSecrets(`${other} "${token}" ${token}x`, known)).toBe(`${other} "‹token›" ${token}x`);
  });
});

test.each(plain)('what is not a secret stays: %s', (text) => {
  expect(maskSecrets(text)).toBe(text);
});

const KEY_LINES = [
  'MC4CAQAwBQYDK2VwBCIEIJ8Zr5wG7yX1tq0Qd3mVx9kPz2bN4hL6sF1aE7uYc0Rt',
  'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz',
];
const PEM = `-----BEGIN PRIVATE KEY-----\n${KEY_LINES.join('\n')}\nAb3=\n-----END PRIVATE KEY-----`;

describe('in a command', () => {
  const hidden: readonly [cmd: string, masked: string][] = [
    ...words.map(([text, masked]): [string, string] => [`echo ${text}`, `echo ${masked}`]),
    ...rows.filter(([text]) => !/PRIVATE KEY|^<|-p'two/.test(text)),
    [`cat > key <<'E'\n${PEM}\nE`, "cat > key <<'E'\n‹private key›\nE"],
    [`printf "${PEM.replaceAll('\n', '\\n')}" > key`, 'printf "‹private key›" > key'],
    ['curl -H "Cookie: a=b; c=d" x', 'curl -H "Cookie: ‹token›; c=d" x'],
    // Up to the blank, where more might be run.
    ["docker run -e PASSWORD='two words' x", "docker run -e PASSWORD='‹password› words' x"],
    ['--password "two $(words)"', '--password "‹password› $(words)"'],
    ["mysql -u root -p'two words' db", "mysql -u root -p'‹password› words' db"],
    ["sshpass -v -p 'two words' ssh h", "sshpass -v -p '‹password›' ssh h"],
    // Where it is a word among others.
    ['echo password: hunter22', 'echo password: ‹password›'],
    [`ssh h curl -H "Authorization: Bearer abc"`, `ssh h curl -H "Authorization: Bearer ‹authorization›"`],
    ['tee x <<< "password: hunter22"', 'tee x <<< "password: ‹password›"'],
    ["printf 'user: x\\npassword: hunter22' > f", "printf 'user: x\\npassword: ‹password›' > f"],
    [
      "cat > f <<'E'\npassword: hunter22\n- token: hunter22\nE",
      "cat > f <<'E'\npassword: ‹password›\n- token: ‹password›\nE",
    ],
    [
      `echo "it's"; curl -H 'Authorization: Bearer abc' x`,
      `echo "it's"; curl -H 'Authorization: Bearer ‹authorization›' x`,
    ],
    [`ssh h "curl -H 'Authorization: Bearer abc' x"`, `ssh h "curl -H 'Authorization: Bearer ‹authorization›' x"`],
    [
      `ssh h 'curl -H '\\''Authorization: Bearer abc'\\'' x'`,
      `ssh h 'curl -H '\\''Authorization: Bearer ‹authorization›'\\'' x'`,
    ],
    [
      `ssh h "curl -d '{\\"user\\": \\"me\\", \\"password\\": \\"hunter22\\"}'"`,
      `ssh h "curl -d '{\\"user\\": \\"me\\", \\"password\\": \\"‹password›\\"}'"`,
    ],
    [`docker exec c bash -c "redis-cli -a hunter22 ping"`, `docker exec c bash -c "redis-cli -a ‹password› ping"`],
    [`python3 -c "login(password = 'hunter22')"`, `python3 -c "login(password = '‹password›')"`],
    [`a=$(b); curl -H 'Authorization: Bearer abc' x`, `a=$(b); curl -H 'Authorization: Bearer ‹authorization›' x`],
    ['sudo -n -u me tool -v --token hunter22', 'sudo -n -u me tool -v --token ‹password›'],
    ['A=b token = hunter22', 'A=b token = ‹password›'],
    // The options of sudo are told from what it runs, and a comment from quotes.
    ['sudo -p \\; zip -P hunter22', 'sudo -p \\; zip -P ‹password›'],
    [`sh -c 'sudo -p ";" zip -P hunter22'`, `sh -c 'sudo -p ";" zip -P ‹password›'`],
    ["# ' \n: --password 'x y z'", "# ' \n: --password '‹password›'"],
    ['PASSWORD=hunter22; ls; $(cat f) x', 'PASSWORD=hunter22; ls; $(cat f) x'],
  ];
  test.each(hidden)('a secret is masked: %s', (cmd, masked) => {
    expect(maskCommand(cmd)).toBe(masked);
  });

  const cloaks: readonly [cmd: string, hasToShow: string][] = [
    // A value may be what runs where the name of a program is a variable.
    ['TOKEN=evil; $TOKEN', 'evil'],
    ['TOKEN=evil; "$TOKEN" now', 'evil'],
    ['export TOKEN=evil; sudo $TOKEN', 'evil'],
    ['sudo X=1 -p --token evil', 'evil'],
    ['docker exec c sh -c "sudo -p token: evil"', 'evil'],
    ['parallel --password evil', 'evil'],
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
    ['password = ;evil', 'evil'],
    ['password = `evil`', 'evil'],
    // The word before is not what it looks like.
    ['X=token: evil', 'evil'],
    ['X=--token evil', 'evil'],
    ['X=authorization:bearer evil', 'evil'],
    ['>token: evil', 'evil'],
    ['> "token": evil', 'evil'],
    ['2>&--token evil', 'evil'],
    ['<<< --token evil', 'evil'],
    ['X=a\\ token: evil', 'evil'],
    ['X=\\\ntoken: evil', 'evil'],
    [`X=' 'token: evil`, 'evil'],
    [`X=" {"token: evil`, 'evil'],
    [`X=' '--token evil`, 'evil'],
    [`X=" "authorization: "bearer evil`, 'evil'],
    ['sudo -p Password: evil', 'evil'],
    ['sudo -u me -p "a b" token: evil', 'evil'],
    ['sudo -p "a token": evil', 'evil'],
    ['sudo -p "authorization: "bearer evil', 'evil'],
    ['sudo -p "a b authorization: "bearer evil', 'evil'],
    ['sudo -p a\\ b\\ token: evil', 'evil'],
    ['sudo -p 2>x token: evil', 'evil'],
    ['sudo -u\\\n"a " X=1 -p --token evil', 'evil'],
    [`sudo ${'-u root '.repeat(60)}-p token: evil`, 'evil'],
    ['env -u --token evil', 'evil'],
    ['exec -a token: evil', 'evil'],
    ['flock token: evil', 'evil'],
    ['xargs -I token = evil', 'evil'],
    ['bash -c -auth evil', 'evil'],
    [`eval 'true; sudo -p' --token evil`, 'evil'],
    [`eval '>' --token evil`, 'evil'],
    ['eval sudo -p "token: evil"', 'evil'],
    ['\\sudo -p token: evil', 'evil'],
    ['su\\do -p token: evil', 'evil'],
    [`sh -c "sudo -p token: evil"`, 'evil'],
    [`sh -c "sudo -p \\"a b\\" token: evil"`, 'evil'],
    [`sh -c "X=' 'token: evil"`, 'evil'],
    [`sh -c "sh -c \\"sudo -p \\\\\\"a b\\\\\\" token: evil\\""`, 'evil'],
    [`sudo -p '{"authorization": 'bearer evil`, 'evil'],
    [`X=" "authorization": "bearer evil`, 'evil'],
    [`sh -c 'X=" ''"token: evil'`, 'evil'],
    [`sh -c X="token: evil"`, 'evil'],
    [`exec -a' '' \\'cookie: evil`, 'evil'],
    [`eval sh -c '">"' '--token' evil`, 'evil'],
    ['printf "X=x\\ntoken: a" ; X=x\\ntoken: evil', 'evil'],
    [`echo 'X=x\\ntoken: evil' | sh`, 'evil'],
    [`printf 'sudo -p \\\\\\ntoken: evil' | sh`, 'evil'],
    // What is in quotes, and is not.
    ['PASSWORD="x" ; evil "y"', 'evil'],
    ['PASSWORD="x"evil y"', 'y'],
    [`eval PASSWORD="x evil"`, 'evil'],
    [`eval X=token:"x evil"`, 'evil'],
    [`sh -c PASSWORD='x evil'`, 'evil'],
    [`env -S PASSWORD='x evil'`, 'evil'],
    [`su -c 'password=x evil'`, 'evil'],
    [`X=" --password "x evil "`, 'evil'],
    [`X=" PASSWORD="x evil "`, 'evil'],
    [`: $'\\' --password ' evil '`, 'evil'],
    [`: <<E\n'\nE\nX=' PASSWORD='x evil '`, 'evil'],
    [`PASSWORD="x $(evil)"`, 'evil'],
    ['PASSWORD="x `evil`"', 'evil'],
    [`PASSWORD='x; evil'`, 'evil'],
    [`eval env rar=1 sudo -p"x evil"`, 'evil'],
    [`ssh h env rar=1 sudo -p'x evil'`, 'evil'],
    [`eval ':; A='\\'"'" TOKEN='a evil now'`, 'evil'],
    ['echo key <password>/root/evil</dev/null', 'evil'],
    ['password => evil', 'evil'],
    ['password =>evil', 'evil'],
    ["sudo -p 'password', 'evil'", 'evil'],
    ['sudo login bob password evil', 'evil'],
    ['sudo -u requirepass evil', 'evil'],
    [`sh -c 'echo key <password>/root/evil</dev/null'`, 'evil'],
    // The program is not what it looks like.
    ['sudo -p zip -P evil', 'evil'],
    ['sudo -p "; zip" -P evil', 'evil'],
    ['sudo -p " "zip -P evil', 'evil'],
    ['sudo -p "; zip \\" -P evil', 'evil'],
    ['sudo -p >& zip -P evil', 'evil'],
    ['sshpass -f -p evil', 'evil'],
    ['sshpass -P -p evil', 'evil'],
    ['sshpass -p token: evil', 'evil'],
    ['htpasswd -b f;flock x evil', 'evil'],
    ['echo evil | sudo -S sh', 'evil'],
    ['<token sudo -p\\> evil</token>', 'evil'],
    ['docker login | unzip -p evil', 'evil'],
  ];
  test.each(cloaks)('no mark hides what runs: %s', (cmd, hasToShow) => {
    expect(maskCommand(cmd)).toContain(hasToShow);
  });

  test('a known secret is masked whatever it is made of', () => {
    expect(maskCommand('x abc;def;ghi y', { values: ['abc;def;ghi'] })).toBe('x ‹token› y');
  });
});

describe('takes time with the length of a text, whatever it is made of', () => {
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
    'password="x',
    'password=\\"',
    "password='\\",
    'x token: abc ',
    "'Authorization: abc",
    'docker login ',
    'sshpass -p x ',
    'zip -P ab ',
    'htpasswd -b ',
    'echo a:bcd|',
    '<password ',
    'config set a_',
    '; A=b PASSWORD="x y" ',
    'sudo -p --token abc ',
    '"',
    'a[',
    ...[
      'password:\n',
      'password: |\n ',
      'password: [',
      'keys:\n- a1b2c3d4\n',
      '"name": "password" ',
      'kind: Secret\ndata:\n',
    ],
    ...[
      '"kty" "d": "aaaaaaaaaaaa" ',
      'set password ',
      '\x1b[0m',
      'password  abcdefghijkl1\n',
      'ghp_aaa\n',
      'token: [a,',
    ],
    ...[
      'cookie: a=bcdef;',
      'basic ',
      'bearer aaaaaaaaaaaaaaaa1 ',
      'key: ',
      'value',
      '<a name="',
      'user a pass ',
      '= ',
      '*',
      '=',
    ],
    ...[
      '1234567890:AA',
      `${'M'.repeat(26)}.`,
      '0x0100',
      'ghp_',
      'SG.a',
      'dp.pt.a',
      '{SSHA}',
      '1',
      'a',
      'eyJa.',
      'api key ',
      '_',
    ],
  ];
  test.each(hard.map((piece) => [JSON.stringify(piece), piece] as const))('%s', (_, piece) => {
    for (const mask of [maskSecrets, maskCommand]) expect(slowPieces([piece], (text) => mask(text), [''])).toEqual([]);
  });
});

describe('takes no longer for what was made to hold it up', () => {
  const marks = ['_', '--', '_-', '-----BEGIN A ', '://a:', '.eyJaaaaaaaaa.', ' -p', 'mysql -p ', 'cookie:ab ', '=$('];
  test('in a text', () => {
    expect(slowPieces([...HOSTILE_PIECES, ...marks], (text) => maskSecrets(text))).toEqual([]);
  }, 60_000);

  test('in a command', () => {
    const quotes = [
      "'",
      '\\"',
      'token: ab ',
      '"token": ab ',
      'PASSWORD+=(a ',
      '${TOKEN:-',
      '[[ $TOKEN == x ]];',
      'passwd <<< x;',
    ];
    expect(slowPieces(quotes, (text) => maskCommand(text))).toEqual([]);
  }, 60_000);
});

describe('a setting among the words of a log is masked, whatever calls stand in its line', () => {
  const lines = [
    'Nov 29 03:00:01 host CRON[12]: (root) CMD (PGPASSWORD=@@ pg_dump db)',
    '2026-11-29 INFO main(App.java:12) DB_PASSWORD=@@',
    'host app(pam_unix)[12]: password=@@',
    'f(x) api_key=@@',
    'DB_PASSWORD=@@ f(x)',
    'INFO worker(3) finished password=@@ retries=2 (ok)',
  ];
  const secrets = ['hunter2secretX9', 'S3cret!pass#9', 'correct-horse9-battery', '839201774'];
  test.each(lines.flatMap((line) => secrets.map((secret) => [line.replace('@@', secret), secret])))(
    '%s',
    (line, secret) => {
      expect(maskSecrets(line)).not.toContain(secret);
    },
  );

  test.each([
    'connect(host="x", password=secret.value)',
    'x = login(user, password=get_password(env))',
    'if (token=next()) return;',
  ])('and the text of a program is not: %s', (line) => {
    expect(maskSecrets(line)).toBe(line);
  });
});
