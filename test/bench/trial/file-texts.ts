import { createCipheriv } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** Bytes that nothing compresses: always the same for a name. */
function noise(name: string, bytes: number): Buffer {
  return createCipheriv('aes-128-ctr', name.padEnd(16), Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** The binary file of job 2: 180 KB. */
export const PLACES = Buffer.concat([Buffer.from('\0PLACES\r\n\x1a\n'), noise('places', 184_320 - 11)]);

/** The dump of job 3: 700 KB, compressed as dumps are. */
export const DUMP = dump();

function dump(): Buffer {
  const rows =
    noise('dump', 640_992)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  const lines = rows.map((row, at) => `INSERT INTO orders VALUES (${100_001 + at}, '${row}');\n`);
  return gzipSync(`-- shop, 2026-11-28\n${lines.join('')}-- end\n`);
}

/** What job 1 changes: each old line is in the file more than once. */
export const NEW_RULE = String.raw`if ($http_user_agent ~* "^(?:curl|wget|\"bot\")[/ ][\d.]+$") { return 444 'C:\new $1 & \0'; }`;
export const NEW_FORMAT = String.raw`'$status "$http_referer" & \'$request_time\' "$http_user_agent"';`;
const OLD_RULE = String.raw`if ($http_user_agent ~* "(curl|wget)/[0-9]+\.[0-9]+") { return 403; }`;
const OLD_FORMAT = `'$status $body_bytes_sent "$http_user_agent"';`;

/** The configuration of job 1, and what is to become of it. */
export const SHOPS = shops(OLD_FORMAT, OLD_RULE);
export const CHANGED_SHOPS = shops(NEW_FORMAT, NEW_RULE);

function shops(format: string, rule: string): string {
  const formats = ['admin', 'api', 'blog', 'mail', 'shop', 'static'].map(
    (name) => `log_format ${name} '$remote_addr - $remote_user "$request" '
    ${name === 'shop' ? format : OLD_FORMAT}
`,
  );
  const servers = ['admin', 'api', 'blog', 'www', 'forum', 'wiki'].map(
    (name, at) => `
server {
\tlisten 443 ssl;
\tserver_name ${name}.example.org;
\taccess_log /var/log/nginx/${name}.access.log shop;
\tlocation ~* "^/(?:img|css)/.+\\.(png|svg|css)$" {
\t\tadd_header Cache-Control "public, max-age=${3600 * (at + 1)}";
\t}
\tlocation /search {
\t\t${name === 'www' ? rule : OLD_RULE}
\t\tproxy_pass http://127.0.0.1:${8080 + at};
\t}
}
`,
  );
  return [...formats, ...servers].join('');
}

const HOSTS = ['pay', 'post', 'stock', 'legacy', 'search', 'images', 'tax', 'print'] as const;

/** The configuration of job 6: some of its addresses have HTTPS already, so no replacement leads back. */
export const PARTNERS = HOSTS.map((host, at) => {
  const scheme = at % 3 === 1 ? 'https' : 'http';
  return `[${host}]\nurl = ${scheme}://${host}.example.net/v${at}\nretries = ${at}\n`;
}).join('\n');
export const HTTPS_PARTNERS = PARTNERS.replaceAll('http://', 'https://');

/** The password of job 4: awkward to quote. */
export const RELAY_PASSWORD = `K7"mail'\\n$(id) %s`;

/** The program of job 4. It drops what was typed before it asks for the password, as programs do that ask for one. */
export const SETUP_RELAY = `
import getpass, os, random, sys

if not os.isatty(0):
    sys.exit("setup-relay: run me in a terminal")
host = input("Host of the relay: ")
port = input("Port [25]: ") or "25"
user = input("User: ")
password = getpass.getpass("Password: ")
if getpass.getpass("The same again: ") != password:
    sys.exit("The passwords are not the same.")
print(f"The key of {host} is SHA256:9f:{random.randrange(256):02x}:44:7c:21")
if input("Trust it (yes, no)? ") != "yes":
    sys.exit("Nothing was written.")
if input("Send a test message (yes, no)? ") != "no":
    sys.exit("The test message could not be sent. Nothing was written.")
number = random.randrange(1000, 10000)
with open(R + "/etc/mail/relay.ini", "w") as out:
    out.write("\\n".join([host, port, user, password, str(number)]) + "\\n")
print(f"The relay is set up with the number {number}.")
`;
