// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are of the shell.
import { describe, expect, test } from 'bun:test';
import { maskCommand } from '../../src/secrets/secrets.ts';

/** Another program may run the value of a variable, or a program is another than its name says. */
const shown = [
  `PASSWORD='rm -rf /tmp/x'; env -S "$PASSWORD"`,
  `PASSWORD='rm -rf /tmp/x'; env -vS "$PASSWORD"`,
  `PASSWORD='rm -rf /tmp/x'; env --split-string="$PASSWORD"`,
  "DB_PASSWORD='a[$(id>&2)]' ; echo $((DB_PASSWORD))",
  `PASSWORD='id -u'; sqlite3 :memory: ".shell $PASSWORD"`,
  `PASSWORD='id -u'; gdb -batch -ex "shell $PASSWORD"`,
  `PASSWORD='id -u'; make -s -f /dev/null --eval "x:; @$PASSWORD" x`,
  `PASSWORD='id -u'; ssh -o ProxyCommand="$PASSWORD" x`,
  `PASSWORD='id -u'; mapfile -C "$PASSWORD" -c 1 x < /etc/hostname`,
  `PASSWORD='id -u'; compgen -C "$PASSWORD"`,
  `PASSWORD='id -u'; complete -C "$PASSWORD" x`,
  `PASSWORD='--checkpoint-action=exec=id'; tar cf /dev/null --checkpoint=1 /etc/hostname "$PASSWORD"`,
  `PASSWORD='echo PWNED'; export EDITOR="$PASSWORD"; git config --edit`,
  `PASSWORD='echo PWNED'; export GIT_PAGER="$PASSWORD"; git version`,
  "PASSWORD='echo PWNED'; MANPAGER=$PASSWORD man ls",
  'GIT_SSH_TOKEN="sh -c id"; export GIT_SSH_COMMAND=$GIT_SSH_TOKEN; git ls-remote ssh://x/y',
  `GIT_PASSWORD='sh -c id'; git -c core.pager="$GIT_PASSWORD" version`,
  'TOKEN=id; make SHELL=$TOKEN',
  `PASSWORD='id -u'; socat - EXEC:"$PASSWORD"`,
  `PASSWORD='id -u'; echo "$PASSWORD" > f; bash f`,
  "PASSWORD='id -u'; printenv PASSWORD > f; bash f",
  `export PASSWORD='id -u'; printenv PASSW""ORD > f`,
  'cat > f <<E\nTOKEN=id\n$TOKEN\nE\nbash f',
  "printf 'TOKEN=%s\\n$TOKEN\\n' id > f; sh f",
  `PASSWORD='id -u'; tee f <<< "$PASSWORD"; chmod 700 f; ./f`,
  `PASSWORD='id -u'; y="x[\\$($PASSWORD>&2)]"; [[ -v $y ]]`,
  `PASSWORD='a b'; x=PASSWORD; use "\${!x}"`,
  "PASSWORD='a -o f'; curl -u $PASSWORD https://x",
  "true --password 'id'; $_",
  ': Authorization: Bearer uname; $_',
  ': --password id3; "${_%3}"',
  'ls --token=idx; echo ${_#*=}',
  'openssl passwd uname; $_',
  'mkpasswd uname; $_',
  'redis-cli auth uname; $_',
  "printf 'TOKEN=%s' uname; $_",
  'npm config set token uname; $_',
  'git config --global x.token uname --type=zz; $_',
  "BASH_CMDS[passwd]=/bin/bash; passwd <<< 'echo PWNED'",
  "BASH_ALIASES[kinit]=bash; shopt -s expand_aliases\nkinit <<< 'echo PWNED'",
  `env 'BASH_FUNC_kinit%%=() { bash; }' bash -c 'kinit <<< "echo PWNED"'`,
  "command_not_found_handle() { bash; }; kinit <<< 'echo PWNED'",
  'command_not_found_handle() { $2; }; mkpasswd uname',
  "cp /bin/bash kpasswd; ./kpasswd <<< 'echo PWNED'",
  "ln -s /bin/bash /dir/kinit; /dir/kinit <<< 'echo PWNED'",
  "ln -s /bin/bash /usr/local/bin/kinit; kinit <<< 'echo PWNED'",
  "cat x > /usr/local/bin/kinit; kinit <<< 'echo PWNED'",
  "echo 'echo PWNED' | /dir/kinit",
  "echo 'echo PWNED' | sudo /dir/kinit",
  "$HOME/kinit <<< 'echo PWNED'",
  "PATH=/dir; echo 'echo PWNED' | kinit",
  "PATH=/dir:$PATH; passwd <<< 'echo PWNED'",
  'PATH=/dir:$PATH sshpass -p hunter22 id',
  "PATH=/dir:$PATH vault login - <<< 'echo PWNED'",
  '/dir/sshpass -p uname',
  "/dir/kinit --password-stdin <<< 'echo PWNED'",
  'for TOKEN in one two2; do use "$TOKEN"; done',
  'X=${DB_PASSWORD:-hunter22} ./x',
  `export PASSWORD=idid; python3 -c 'import os;os.system(os.environ["PASS"+"WORD"])'`,
  `export PASSWORD=idid; perl -e 'system $ENV{"PASS"."WORD"}'`,
  `export PASSWORD=idid; awk 'BEGIN{system(ENVIRON["PASS" "WORD"])}'`,
  `/dir/ki"nit" <<< 'echo PWNED'`,
  `/usr/bin/../../dir/kinit <<< 'echo PWNED'`,
  "export PA''TH=/dir; kinit <<< 'echo PWNED'",
  "read PATH <<< /dir; kinit <<< 'echo PWNED'",
  "printf -v PATH %s /dir; kinit <<< 'echo PWNED'",
  "for PATH in /dir; do kinit <<< 'echo PWNED'; done",
  "PATH[0]=/dir; kinit <<< 'echo PWNED'",
  ": ${PATH:=/dir}; kinit <<< 'echo PWNED'",
  ': --password idid; ${BASH_COMMAND##* }',
  "trap '${BASH_COMMAND##* }' DEBUG; : --password idid",
  "chroot /dir kinit <<< 'echo PWNED'",
  "cd /usr/bin; cp bash kinit; kinit <<< 'echo PWNED'",
  "LD_PRELOAD=/x.so kinit <<< 'echo PWNED'",
  'PASSWORD="a b"; curl -H "x: $PASSWORD" https://x -o f; bash f',
  'PASSWORD="a b"; cat <<< "$PASSWORD" | ssh h',
  'PASSWORD="a b"; coproc bash; cat <<< "$PASSWORD" >&${COPROC[1]}',
  'PASSWORD="a b"; cat <<< "$PASSWORD" > >(bash)',
  'PASSWORD="a b"; exec 3> >(bash); cat <<< "$PASSWORD" >&3',
  'PASSWORD="a b"; tee ~/.bashrc <<< "$PASSWORD"',
  'PASSWORD="a b"; cat > ~/.bashrc <<E\n$PASSWORD\nE',
  'PASSWORD="a b"; cat <<< "$PASSWORD" > f; ksh *',
];
test.each(shown)('no mark hides what runs: %s', (cmd) => {
  expect(maskCommand(cmd)).toBe(cmd);
});

describe('a variable in a place where nothing runs it leaves its value masked', () => {
  const masked = [
    'PASSWORD=hunter22; curl -u "bob:$PASSWORD" https://x',
    'TOKEN=hunter22; curl -H "Authorization: Bearer $TOKEN" https://x',
    'TOKEN=hunter22; curl "https://x/?token=$TOKEN"',
    'PASSWORD=hunter22; mysql -p"$PASSWORD" -e "select 1"',
    'PASSWORD=hunter22; mysql --password="$PASSWORD" db',
    'PASSWORD=hunter22; echo "$PASSWORD" | passwd --stdin bob',
    'PASSWORD=hunter22; docker login -u u --password-stdin <<< "$PASSWORD"',
    'PASSWORD=hunter22; sshpass -p "$PASSWORD" ssh h uptime',
    'PASSWORD=hunter22; [ -n "$PASSWORD" ] && ls',
    'PASSWORD=hunter22; echo "$PASSWORD"',
    'export PGPASSWORD=hunter22; psql -h db -c "select 1"',
    'PASSWORD=hunter22; cat > .env <<E\nDB_PASSWORD=$PASSWORD\nE\nchmod 600 .env',
    'echo hunter22 | sudo /usr/bin/passwd --stdin bob',
  ];
  test.each(masked)('%s', (cmd) => {
    const text = maskCommand(cmd);
    expect(text).not.toContain('hunter22');
    expect(text).toContain('‹password›');
  });
});

test.each([
  ['TOKEN=ghp_0123456789abcdefghij; use "$TOKEN"', 'TOKEN=‹github token›; use "$TOKEN"'],
  [
    'PATH=/dir:$PATH; git clone https://ghp_0123456789abcdefghij@x',
    'PATH=/dir:$PATH; git clone https://‹github token›@x',
  ],
])('a token by its look is masked all the same: %s', (cmd, text) => {
  expect(maskCommand(cmd)).toBe(text);
});
