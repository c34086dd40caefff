import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { secretSpans } from '../../src/secrets/secrets.ts';
import { alarms, MOST_OF_10_000 } from '../helpers/alarms.ts';

const ENOUGH_BYTES = 4_000_000;

function output(cmd: string): string {
  return Bun.spawnSync(['/bin/sh', '-c', `{ ${cmd}; } 2>/dev/null | head -c ${ENOUGH_BYTES}`]).stdout.toString();
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

describe('hardly a line is changed that holds no secret, of', () => {
  const kinds: readonly (readonly [what: string, text: () => string, least: number])[] = [
    ['ls -laR /etc', () => output('ls -laR /etc'), 200],
    ['ls -laR /usr', () => output('ls -laR /usr/share /usr/lib'), 5000],
    // Programs that run here meanwhile may be given real ones, and the commands of other tests, which are scripts, made-up ones.
    [
      'ps aux',
      () => output("(ps auxww; ps -ef; ps -eo pid,args) | grep -viE 'token|secret|password|authorization| -[a-z]*c '"),
      5,
    ],
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

/** Lines of logs, listings, settings, help texts and programs with the words that secrets have. */
const LINES = String.raw`Nov 28 20:00:01 h sshd[123]: Failed password for root from 1.2.3.4 port 22222 ssh2
Nov 28 20:00:01 h sshd[123]: Accepted publickey for me from 1.2.3.4 port 5 ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG
Nov 28 20:00:01 h sshd[123]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4 user=root
Nov 28 20:00:01 h sudo: pam_unix(sudo:session): session opened for user root(uid=0) by (uid=1000)
Nov 28 20:00:01 h passwd[1]: pam_unix(passwd:chauthtok): password changed for me
Nov 28 20:00:01 h systemd[1]: Started agent3.service - Agent3.
Nov 28 20:00:01 h kernel: audit: type=1400 audit(1700000000.123:45): apparmor="STATUS" operation="profile_load" key=(null)
Nov 28 20:00:01 h kernel: Key type dns_resolver registered
Nov 28 20:00:01 h kernel: Loaded X.509 cert 'Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1'
Nov 28 20:00:01 h nginx: 1.2.3.4 - - [28/Nov/2026:20:00:01 +0000] "GET /login HTTP/1.1" 200 512 "-" "curl/7.88"
Nov 28 20:00:01 h app: token expired: id=12345 user=me
Nov 28 20:00:01 h app: invalid token: unexpected end of JSON input
Nov 28 20:00:01 h app: Unexpected token < in JSON at position 0
Nov 28 20:00:01 h app: SyntaxError: Unexpected token: punc (})
Nov 28 20:00:01 h app: secret "default/tls-cert" not found
Nov 28 20:00:01 h kubelet: MountVolume.SetUp failed for volume "x" : secret "y-token-abc12" not found
Nov 28 20:00:01 h app: loaded 12 secrets, 3 tokens: ok
Nov 28 20:00:01 h app: password: too short
Nov 28 20:00:01 h app: Enter passphrase for key '/root/.ssh/id_rsa':
Password for user postgres:
[sudo] password for me:
debug1: Authentications that can continue: publickey,password
debug1: Next authentication method: password
debug1: identity file /root/.ssh/id_ed25519 type 3
auth_time: 12 ms, token_time=5ms, tokens=128
usage: prompt_tokens=12 completion_tokens=345 total_tokens=357
tokens: 1234 cached_tokens: 12
"prompt_tokens": 1234, "completion_tokens": 56
X-RateLimit-Remaining: 59
WWW-Authenticate: Basic realm="x"
WWW-Authenticate: Bearer resource_metadata="https://x/.well-known/oauth-protected-resource"
Access-Control-Allow-Headers: Authorization, X-Api-Key, X-Auth-Token
Vary: Cookie, Authorization
Public-Key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJabcdefghijklmnopqrstuvwxyzABCDEF
Public key: 0x1234abcd
Key fingerprint = ABCD 1234 ABCD 1234 ABCD  1234 ABCD 1234 ABCD 1234
gpg: key 1234ABCD5678EF90: public key "X <x@y>" imported
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
deb [signed-by=/etc/apt/keyrings/x.gpg] https://x.y/debian stable main
Depends: libpam-passwdqc (>= 1.0), passwd (>= 1:4.2), libsecret-1-0 (>= 0.18)
ii  libsecret-1-0:amd64  0.20.5-3  amd64  Secret store
ii  passwd               1:4.13+dfsg1-1+b1 amd64 change and administer password and group data
passwd/stable,now 1:4.13+dfsg1-1+deb12u1 amd64 [installed]
libjwt0:amd64: 1.10.2-1+b1
-rw------- 1 root root  1679 Nov 28 20:00 private.key
-rw-r----- 1 root shadow 1234 Nov 28 2026 /etc/shadow
drwx------ 2 root root 4096 Nov 28 20:00 secrets
lrwxrwxrwx 1 root root 21 Nov 28 20:00 token -> ../run/secrets/token1
/etc/ssl/private/ssl-cert-snakeoil.key
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))
sha256:9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0
commit 9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c
Author: Key Master <key@master.org>
    Add token: fix login (#123)
    auth: use bcrypt2 instead of md5
diff --git a/token.ts b/token.ts
index 9f8e7d6..5b4a392 100644
+++ b/src/secret.ts
@@ -1,3 +1,4 @@ function token(a: string)
+  const token = tokens[i];
-  password: string;
+func Token(k string) (token string, err error) {
+    let secret: &str = "x";
+  private static final String TOKEN = "token";
+  @Value("\${app.token}") private String token;
+  int key = getKey();
+  if (password.length < 8) throw new Error('password too short');
+  token := lexer.Next()
+  self.token_type = token_type
+  case TOKEN_STRING: return "string";
+  #define TOKEN_MAX 16
+  pub token: Option<String>,
+  secret: Secret<String>,
+  type Token = { type: 'x', value: string }
    "version": "1.2.3", "license": "MIT", "key": "value"
  primaryKey: true, autoIncrement: true
  foreign_key: user_id
CREATE TABLE users (id int, password varchar(255), token text NOT NULL, api_key char(32));
ALTER TABLE users ADD COLUMN password_hash text;
SELECT password, token FROM users WHERE id = 1;
GRANT ALL ON x.* TO 'a'@'b';
UPDATE pg_settings SET x = 'y' WHERE name = 'password_encryption';
password_encryption = scram-sha-256
#password_encryption = md5
ssl_key_file = '/etc/ssl/private/x.key'
ssl_certificate_key /etc/nginx/ssl/x.key;
auth_basic "Restricted";
auth_basic_user_file /etc/nginx/.htpasswd;
AuthType Basic
AuthUserFile /etc/apache2/.htpasswd
PasswordAuthentication no
PermitRootLogin prohibit-password
password required pam_unix.so sha512
password        [success=1 default=ignore]      pam_unix.so obscure use_authtok try_first_pass yescrypt
auth	[success=1 default=ignore]	pam_unix.so nullok
account required pam_permit.so
passwd:         files systemd
shadow:         files
netgroup:       nis
sasl_method=PLAIN, sasl_username=me@x
smtpd_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
ssl_key = </etc/dovecot/private/dovecot.pem
auth_mechanisms = plain login
disable_plaintext_auth = yes
mem: 12G key: 4 tokens/s: 23.4
Keyboard: us; keymap: de-latin1; keycode 12
monkey: banana1 turkey: bird2
Basic usage: run x1 y2
Bearer of news2 told us everything12345
API-Key rotation happens every 90d
token bucket: rate=10/s burst=20
csrf: enabled
session: abc
cookie consent: accepted
Set-Cookie header is missing
hash: 9f8e7d6c5b4a39281706f5e4d3c2b1a0
etag: "9f8e7d6c5b4a3928"
nonce: 12345678
id: 9f8e7d6c-5b4a-3928-1706-f5e4d3c2b1a0
url: https://example.com/a/b?x=1&y=abcdefghijklmnop1234
https://example.com/x?page_token=abc&sort=key
http://localhost:8080/health
git@github.com:me/x.git
ssh://git@github.com/me/x.git
https://github.com/owner/repo.git
npm notice integrity: sha512-abcdefghijklmnopqrstuvwxyz0123456789==
"integrity": "sha512-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF=="
go: github.com/golang-jwt/jwt/v5 v5.2.0 h1:abcdefghijklmnopqrstuvwxyz0123456789ABCDE=
jwt v5.2.0
golang-jwt  v5.2.0+incompatible
 token     9.8.7-r6
--password string   Password for the registry
      --token string               Bearer token for authentication to the API server
  -p, --password PASSWORD  the password
  --api-key=KEY  the key
  --secret-file FILE
usage: x [--token TOKEN] [--password-file FILE]
Options: --auth basic|digest`.split('\n');

test.each(LINES)('what is not a secret stays: %s', (line) => {
  expect(secretSpans(line)).toEqual([]);
});
