// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { maskCommand } from '../../src/secrets/secrets.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

/**
 * Ways to write a command so that what runs stands where a secret would. Each runs RAN4711, or would on a machine that
 * has the program: whatever is masked in them, that has to be seen.
 */
const spellings: readonly string[] = [
  // Quotes whose escapes a shell reads.
  "eval $'token=xyz\\necho\\tRAN4711'",
  "bash -c $'token=xyz\\x0aecho\\x20RAN4711'",
  "sh -c $'password=xyz\\073echo\\tRAN4711'",
  "bash -c $'token=xyz\\u000aRAN4711'",
  "bash -c $'token: xyz\\cJRAN4711'",
  "eval $'X=1 --token xyz\\nRAN4711'",
  "bash -c $'authorization:xyz\\012RAN4711'",
  "bash -c $'cookie=xyz\\vRAN4711\\n'",
  // Here-strings, documents and files that are read as programs.
  "bash <<<$'token=xyz\\necho\\tRAN4711'",
  ". /dev/stdin <<<$'password=xyz\\nRAN4711'",
  "source /dev/stdin <<< $'password=xyz\\nRAN4711'",
  "source <(printf 'token=xyz\\nRAN4711')",
  ". <(echo -e 'token=xyz\\nRAN4711')",
  "bash <(printf 'token=%s\\nRAN4711' x)",
  'sh <<E\nPASSWORD=x RAN4711\nE',
  'bash -s <<< "token=x RAN4711"',
  // What prints a text that is run.
  "printf 'token=xyz\\necho\\tRAN4711' | sh",
  "printf 'token=x%secho RAN4711' '\\n' | sh",
  "printf 'token=x%becho RAN4711' '\\n' | bash",
  "printf 'password=x\\x3bRAN4711' | sh",
  "echo -e 'password=xyz\\nRAN4711'|sh",
  "echo -ne 'token=xyz\\073RAN4711' | sudo sh",
  "echo token=x@RAN4711 | tr @ '\\n' | sh",
  'echo token=x_RAN4711 | tr _ "\\n" | sh',
  'echo token=xRAN4711 | cut -c8- | sh',
  'echo password=RAN4711 | cut -d= -f2 | sh',
  'echo --token RAN4711 | sed s/--token// | bash',
  "echo 'token: RAN4711' | sed 's/token://' | dash",
  'echo token:RAN4711 | cut -d: -f2 | xargs -n1 env',
  'echo token=RAN4711 | while IFS== read a b; do $b; done | sh',
  'printf "%s" "--password RAN4711" | xargs -n1 timeout 1',
  'echo 1174NAR=nekot | rev; echo token=RAN4711 | rev | rev | cut -d= -f2 | sh',
  'cat <<E | cut -d= -f2 | sh\npassword=RAN4711\nE',
  'eval "$(echo password=RAN4711 | cut -d= -f2)"',
  'echo password=RAN4711 | awk -F= "{print \\$2}" | sh',
  'yes token=RAN4711 | head -1 | cut -d= -f2 | sh',
  'tr = "\\n" <<< token=RAN4711 | sh',
  'base64 -d <<< password=RAN4711 | sh',
  'echo token=RAN4711 | cut -d= -f2 | at now',
  // Programs that take their words apart themselves.
  "env -S 'token=xyz\\_echo\\_RAN4711'",
  "env -S 'token=xyz RAN4711'",
  'env -iS "password=x\\_RAN4711"',
  'env --split-string="token=x\\_RAN4711"',
  "env -S'PASSWORD=x RAN4711'",
  // Programs of other languages.
  "make -sf- <<<$'token:\\n\\t@echo\\tRAN4711'",
  "make -f- <<< 'token:;@RAN4711'",
  "make -E 'token:=$(shell RAN4711)'",
  "perl -e 'token:exec+qw/echo\\x20RAN4711/'",
  "perl -e 'token:exec+q/RAN4711/'",
  "perl -e 'password:system+RAN4711'",
  "perl -e '$token=`RAN4711`'",
  'perl -e \'token:exec"RAN4711"\'',
  "python3 -c \"token=__import__('os').system('RAN4711')\"",
  "ruby -e 'token=system(%q/RAN4711/)'",
  "ruby -e 'token=%x/RAN4711/'",
  'php -r \'token:system("RAN4711");\'',
  "node -e 'token:require(`child_process`).execSync(`RAN4711`)'",
  'awk \'BEGIN{token=system("RAN4711")}\'',
  'awk \'BEGIN{"RAN4711"|getline token}\'',
  "sed -n 'e token=x;RAN4711' f",
  "sed '1e password=x\\nRAN4711' f",
  'tclsh <<< "set token [exec RAN4711]"',
  "lua -e 'token=os.execute[[RAN4711]]'",
  "gdb -batch -ex 'shell token=x;RAN4711'",
  "vim -c ':!token=x|RAN4711' -c q",
  'git -c alias.token=!RAN4711 token',
  "git -c 'alias.password=!RAN4711' password",
  'alias token=RAN4711\ntoken',
  "shopt -s expand_aliases; alias password='RAN4711'\npassword",
  // Wrappers, with what they run behind something like a name.
  "ssh host 'token=x;RAN4711'",
  'ssh host PASSWORD=x RAN4711',
  "su -c 'password=x RAN4711'",
  'su -c "password=x;RAN4711" me',
  'xargs -I token= RAN4711',
  'find . -name token=x -exec RAN4711 ;',
  "find . -exec sh -c 'token=x;RAN4711' \\;",
  "tar cf x --checkpoint-action='exec=token=x;RAN4711' x",
  "crontab <<< '* * * * * password=x RAN4711'",
  "echo '* * * * * cat%token=x%RAN4711' | crontab -",
  "at now <<< 'token=x;RAN4711'",
  'systemd-run --setenv=TOKEN=x RAN4711',
  'systemd-run -p token: RAN4711',
  'docker run -e TOKEN=x image RAN4711',
  "docker exec c sh -c 'TOKEN=x RAN4711'",
  "busybox sh -c 'token=x;RAN4711'",
  'flock token: RAN4711',
  'timeout --password 1 RAN4711',
  'nice -n --token RAN4711',
  'exec -a token: RAN4711',
  'sudo -p token: RAN4711',
  "sudo -p 'token: ' RAN4711",
  'sudo -u password= RAN4711',
  'runuser -u token= RAN4711',
  'chroot token= RAN4711',
  "watch 'token=x;RAN4711'",
  "trap 'token=x;RAN4711' EXIT",
  'AWS_CREDENTIAL_PROCESS=RAN4711 aws s3 ls',
  'RESTIC_PASSWORD_COMMAND=RAN4711 restic snapshots',
  'rclone --password-command RAN4711 ls x:',
  'git -c credential.helper=RAN4711 fetch',
  'git -c core.askPass=RAN4711 fetch',
  'SUDO_ASKPASS=./RAN4711 sudo -A true',
  'ansible-playbook --vault-password-file=./RAN4711 x',
  'ANSIBLE_VAULT_PASSWORD_FILE=./RAN4711 ansible x',
  'sudo --askpass RAN4711',
  'token=x\nRAN4711',
  'token=x\\\n RAN4711',
  'token=x\rRAN4711',
  'password=x\u2028RAN4711;',
  '{ token=x,RAN4711;}',
  'eval {token=x,RAN4711}',
  'echo {token=,RAN4711}',
  'password=~(RAN4711)',
  'token=x^RAN4711',
  'token=x!RAN4711',
  'https://a:b\\nRAN4711@x',
  "curl -u 'a:b\\nRAN4711' x | sh",
  'ghp_0123456789abcdefghijABCDEFGHIJ012345\\nRAN4711',
  'eyJhbGciOiJI.eyJzdWIi.c2ln$(RAN4711)',
  // What looks like a token or a key, and is decoded, cut or called.
  'echo eyJhbGciOiJI.eyJzdWIi.RAN4711AAAA | cut -d. -f3 | base64 -d | sh',
  'echo ghp_0123456789abcdefghijRAN4711 | cut -c5- | bash',
  'base64 -d <<< ghp_0123456789abcdefghijRAN4711 > f; sh f',
  'base64 --decode <<< AKIA0123456789RAN4711 > f; chmod +x f; ./f',
  'echo AKIA0123456789RAN4711 | base32 -d > f && . ./f',
  'echo AKIA0123456789RAN4711 | basenc --base32 -d | tee /etc/cron.d/x',
  'x=$(echo ghp_0123456789abcdefghijRAN4711 | base64 -d); $x',
  'x=`echo ghp_0123456789abcdefghijRAN4711 | base64 -di`; $x',
  '(echo ghp_0123456789abcdefghijRAN4711 | base64 -d) > f; sh f',
  'echo ghp_0123456789abcdefghijRAN4711 | base64 -d | tee f; sh f',
  'echo glpat-0123456789abcdefRAN4711 | openssl enc -d -base64 -out f; sh f',
  'echo glpat-0123456789abcdefRAN4711 | openssl base64 -d > f; sh f',
  'echo SK0123456789abcdef0123456789abcdefRAN4711 | xxd -r -p > f; sh f',
  'python3 -c \'import base64;exec(base64.b64decode("ghp_0123456789abcdefghijRAN4711"))\'',
  'perl -MMIME::Base64 -e \'system decode_base64("ghp_0123456789abcdefghijRAN4711")\'',
  'node -e \'f(atob("ghp_0123456789abcdefghijRAN4711"))\'',
  'cat <<E | tail -n +2 | base64 -d | sh\n-----BEGIN PRIVATE KEY-----\nRAN4711AAAAa1Ba1B\n-----END PRIVATE KEY-----\nE',
  'sed 1d <<E | base64 -d > f; sh f\n-----BEGIN PRIVATE KEY-----\nRAN4711AAAAa1Ba1B\n-----END PRIVATE KEY-----\nE',
  'ghp_0123456789abcdefghijRAN4711() { reboot; }; ls',
  'function AKIA0123456789RAN4711 { reboot; }; ls',
  'AKIA0123456789RAN4711',
  'ls; AKIA0123456789RAN4711 x',
  'ls && "AKIA0123456789RAN4711"',
  'ls\nAKIA0123456789RAN4711',
  'if AKIA0123456789RAN4711; then ls; fi',
  'X=1 AKIA0123456789RAN4711',
  'sudo -n AKIA0123456789RAN4711',
  'timeout 5 ./AKIA0123456789RAN4711',
  "sh -c 'AKIA0123456789RAN4711'",
  "ssh h 'ls; AKIA0123456789RAN4711'",
  'echo reboot > AKIA0123456789RAN4711; sh AKIA0123456789RAN4711',
  '. /tmp/AKIA0123456789RAN4711',
  'find . -exec AKIA0123456789RAN4711 {} +',
  'token:RAN4711() { reboot; }; ls',
  'x://a:RAN4711@b() { reboot; }; ls',
  // No here-document, but what looks like one.
  'echo "\ncat <<E\nE"\nAKIA0123456789RAN4711',
  '# cat <<E\nAKIA0123456789RAN4711',
  'cat <<E\nE\nAKIA0123456789RAN4711',
  'cat "<<E"\nAKIA0123456789RAN4711',
  'echo "x\ncat <<E"\nAKIA0123456789RAN4711',
  'tac <<X\ncat <<E\nX\nAKIA0123456789RAN4711',
];

test.each(spellings)('no mark hides what runs: %s', (cmd) => {
  const { text } = maskCommand(cmd);
  expect(text).toContain('RAN4711');
});

describe('a mark', () => {
  const ends = [...'\\%$`;&|<>){}[]!#*?^,\'"@\n\r\t '];
  test.each(ends)('ends before %j', (end) => {
    for (const [before, mark] of [
      ['PASSWORD=hunter22', 'PASSWORD=‹password›'],
      ['X-Auth-Token:hunter22', 'X-Auth-Token:‹token›'],
      ['curl -u me:hunter22', 'curl -u me:‹password›'],
      ['AKIAIOSFODNN7EXAMPLE', '‹aws key›'],
    ])
      expect(maskCommand(`echo ${before}${end}x`).text).toBe(`echo ${mark}${end}x`);
  });

  test('stands for nothing else than letters, digits and a few signs, whatever a command is made of', () => {
    for (let point = 1; point < 0x3000; point++) {
      const char = String.fromCodePoint(point);
      const { text } = maskCommand(`TOKEN=hunter22${char}hunter23`);
      if (!/[\p{L}\p{M}\p{N}_+/=.~:-]/u.test(char)) expect(text.endsWith(`${char}hunter23`)).toBe(true);
    }
  });

  const shown: readonly (readonly [why: string, cmd: string])[] = [
    ['a text that is printed and run', 'echo password=RAN4711 | sh'],
    [
      'a pipe into a shell, which could run a part of what it reads',
      'curl -H "Authorization: Bearer abc.def" https://x | bash',
    ],
    ['an alias', 'alias token=RAN4711'],
    ['a value without quotes that goes on in a program', "perl -e 'token:exec+qw/x/'"],
  ];
  test.each(shown)('is not in %s', (_, cmd) => {
    expect(maskCommand(cmd).text).toBe(cmd);
  });

  const masked: readonly (readonly [cmd: string, text: string])[] = [
    [`python3 -c "login(password='hunter22/+=')"`, `python3 -c "login(password='‹password›')"`],
    ['python3 -c "login(token=abc123)"', 'python3 -c "login(token=‹password›)"'],
    [`node -e 'f({password: "two words"})'`, `node -e 'f({password: "‹password› words"})'`],
    ['curl -H "Authorization: Bearer abc.def" https://x', 'curl -H "Authorization: Bearer ‹authorization›" https://x'],
    [
      'curl -H "Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345" https://x | jq .name',
      'curl -H "Authorization: Bearer ‹github token›" https://x | jq .name',
    ],
    [
      'curl -sH "X: ghp_0123456789abcdefghij" https://x 2>/dev/null | jq -r .content | base64 -d',
      'curl -sH "X: ‹github token›" https://x 2>/dev/null | jq -r .content | base64 -d',
    ],
    ['git clone https://ghp_0123456789abcdefghij@github.com/x/y', 'git clone https://‹github token›@github.com/x/y'],
    ['aws configure set aws_access_key_id AKIAIOSFODNN7EXAMPLE', 'aws configure set aws_access_key_id ‹aws key›'],
    [`python3 -c 'login("ghp_0123456789abcdefghij")'`, `python3 -c 'login("‹github token›")'`],
    ['KEYS=(AKIAIOSFODNN7EXAMPLE)', 'KEYS=(‹aws key›)'],
    ['cat > f <<E\nghp_0123456789abcdefghij\nE\nls', 'cat > f <<E\n‹github token›\nE\nls'],
    [
      'cat > k <<E\n-----BEGIN PRIVATE KEY-----\nQUJDREVGa1QUJDREVG\n-----END PRIVATE KEY-----\nE',
      'cat > k <<E\n‹private key›\nE',
    ],
    ['keytool -list -storepass hunter22 -v', 'keytool -list -storepass ‹password› -v'],
    ['keytool -genkey -keypass hunter22', 'keytool -genkey -keypass ‹password›'],
    ['nmcli dev wifi connect x password hunter22', 'nmcli dev wifi connect x password ‹password›'],
    ['sudo nmcli c mod x wifi-sec.psk hunter22', 'sudo nmcli c mod x wifi-sec.psk ‹password›'],
    ['wpa_passphrase net hunter22', 'wpa_passphrase net ‹password›'],
    ['gunzip -c dump.sql.gz | PGPASSWORD=hunter22 psql db', 'gunzip -c dump.sql.gz | PGPASSWORD=‹password› psql db'],
    ['printf %s x > f; TOKEN=abc123 ./deploy', 'printf %s x > f; TOKEN=‹password› ./deploy'],
  ];
  test.each(masked)('still is in %s', (cmd, text) => {
    expect(maskCommand(cmd).text).toBe(text);
  });
});

describe('a random command', () => {
  const one = (...texts: readonly string[]) => fc.constantFrom(...texts);
  const some = (text: fc.Arbitrary<string>, maxLength: number) =>
    fc.array(text, { maxLength }).map((all) => all.join(''));
  const begins = one(
    '',
    '',
    'eval ',
    'sh -c ',
    'bash -c ',
    'env -S ',
    'env ',
    'printf ',
    'echo ',
    'bash <<<',
    '. /dev/stdin <<<',
    'source <(printf ',
    'make -sf- <<<',
    'perl -e ',
    'sudo -p ',
    'sudo -u ',
    'exec -a ',
    'timeout 1 ',
    'nice ',
    'X=',
    'xargs ',
    'alias ',
    'zip -P ',
    'curl -u a:',
    ': https://a:',
  );
  const quotes = one('', "'", '"', "$'", "\\'", '\\"');
  const names = one(
    'token=',
    'token: ',
    'token:',
    'token =',
    'password=',
    '"password": ',
    '--token ',
    '--password=',
    'cookie: ',
    'x-auth-token: ',
    'authorization: bearer ',
    'Authorization:Bearer ',
    '',
  );
  const between = one(
    'x',
    'x ',
    'a1B2c3',
    ' ',
    ' ',
    '\\n',
    '\\x0a',
    '\\073',
    '\\_',
    '\\t',
    '%s',
    '%b',
    '_',
    ',',
    '@',
    ';',
    '|',
    '&',
    '\n',
    '$IFS',
    '=',
    '+',
    '/',
    './',
    '{',
    '}',
    '(',
    '`',
    '"',
    "'",
    'exec ',
    'exec+q/',
    'system ',
    'echo ',
  );
  const programs = one('RAN1', 'RAN2', 'RAN3');
  const ends = one(
    '',
    '',
    '',
    ' | sh',
    ' | bash',
    '| tr _ " " | sh',
    '|sed s/token=//|sh',
    '|cut -d= -f2|sh',
    '|xargs -n1 sh -c',
    ')',
    ' ; x',
    ' x',
  );
  const commands = fc
    .tuple(
      some(begins, 2),
      quotes,
      some(one('x', ' ', "'", '"', 'X=', '; ', 'sudo -p '), 2),
      names,
      some(between, 3),
      programs,
      some(between, 1),
      ends,
    )
    .map(
      ([begin, quote, lead, name, value, program, rest, end]) =>
        `${begin}${quote}${lead}${name}${value}${program}${rest}${quote.slice(-1)}${end}`,
    );

  test('runs no program that its record hides', async () => {
    using directory = new TemporaryDirectory();
    const [bin, ran, cwd] = ['bin', 'ran', 'cwd'].map((name) => directory.join(name)) as [string, string, string];
    mkdirSync(bin);
    const program = (name: string, text: string): void => {
      writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${text}\n`);
      chmodSync(`${bin}/${name}`, 0o755);
    };
    for (const name of ['RAN1', 'RAN2', 'RAN3']) program(name, `: > ${ran}/${name}`);
    program('sudo', 'while :; do case "$1" in -p|-u) shift 2;; -*) shift;; *) break;; esac; done; exec "$@"');
    for (const name of ['env', 'sh', 'bash', 'xargs', 'tr', 'cut', 'sed', 'perl', 'make', 'nice', 'timeout', 'cat'])
      if (existsSync(`/usr/bin/${name}`)) symlinkSync(`/usr/bin/${name}`, `${bin}/${name}`);
    const check = async (cmd: string): Promise<void> => {
      const { text } = maskCommand(cmd);
      if (!['RAN1', 'RAN2', 'RAN3'].some((name) => cmd.includes(name) && !text.includes(name))) return;
      for (const place of [ran, cwd]) {
        rmSync(place, { recursive: true, force: true });
        mkdirSync(place);
      }
      const options = { cwd, env: { PATH: bin }, stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' } as const;
      await Bun.spawn(['/usr/bin/timeout', '5', '/bin/bash', '-c', cmd], options).exited;
      expect({ cmd, text, hidden: readdirSync(ran).filter((name) => !text.includes(name)) }).toMatchObject({
        hidden: [],
      });
    };
    await fc.assert(fc.asyncProperty(commands, check), { seed: 13, numRuns: 1500 });
  }, 60_000);
});
