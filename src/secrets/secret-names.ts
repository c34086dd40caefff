import { assignedValues, type Bond, endOfValue, isSecretName, type NamedValue } from './secret-assignments.ts';

/** A shape of text in which the name of a value shows that it is a secret. */
interface NamedShape {
  /** Undefined: a password. */
  readonly kind?: string;
  /**
   * Its groups: what stays (`before`), within that the quote the value begins with (`open`), and the value up to a
   * blank.
   */
  readonly shape: RegExp;
  readonly bond: Bond;
  /** Whether a quote before the name also quotes the value: `'Authorization: Bearer x'`. */
  readonly isHeader?: true;
  /** A text that has none of these, in small letters, has no such value; empty: any text may. */
  readonly needs: readonly string[];
}

/** A quote, or one that is escaped in a string around it. */
const QUOTE = String.raw`(?:\\{0,3}["'])`;
const OPEN = String.raw`(?<open>\\{0,3}["']|\$["'])?`;
const SIGN = String.raw`${QUOTE}?\s{0,4}[:=]\s{0,4}${OPEN}`;
const WORD_BEGIN = String.raw`(?<![\w-])`;

const NAME = String.raw`(?:[\w-]{0,40}(?:password|passwd)|(?:[\w-]{0,40}[_-])?(?:pass(?:phrase)?|pwd|secret|(?:auth|access|refresh|session)?token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|(?:auth|encryption|master|app|signing|session|cookie|jwt|hmac|account|storage)[_-]?key|credentials?))(?:_?(?:key_base|key|base|id|hash))?`;

/** Arguments on the way to one: nothing that ends a command, and no backslash, which may escape a quote. */
const ARGUMENTS = '(?:[^|;&<>()\\n`\\\\]{0,160}?\\s)?';
/** One argument, without anything that ends a command. */
const ARGUMENT = '[^\\s|;&<>()`\\\\]';
const REGISTRY_CLIENT = '(?:docker|podman|buildah|nerdctl|skopeo|helm|oras|crane|az|oc)';
const HTPASSWD_OPTION = String.raw`-[A-Za-z0-9]{1,8}\s{1,4}(?:\d{1,6}\s{1,4})?`;

/** Options of certain programs that are followed by a secret. */
const PROGRAM_OPTIONS = [
  String.raw`${REGISTRY_CLIENT}\s(?:[^|;&<>()\n\x60\\]{0,40}?\s)?login\s${ARGUMENTS}-p(?:\s{1,4}|=?)`,
  // Its other options take a value, and -p would be one.
  String.raw`sshpass\s{1,4}(?:-(?:v|P\s{0,4}[^\s"'|;&<>()\x60\\-][^\s"'|;&<>()\x60\\]{0,60})\s{1,4}){0,3}-p\s{1,4}`,
  String.raw`(?:redis|valkey|keydb)-cli\s${ARGUMENTS}-a\s{1,4}`,
  String.raw`ldap[a-z]{3,8}\s${ARGUMENTS}-w\s{0,4}`,
  String.raw`(?:un)?zip\s${ARGUMENTS}-P\s{0,4}`,
  String.raw`nmcli\s${ARGUMENTS}(?:[\w-]{1,40}\.)?(?:password|psk|wep-key\d?|secrets?|pin)\s{1,4}`,
  String.raw`wpa_passphrase\s{1,4}[^\s|;&<>()\x60\\-]{1,64}\s{1,4}`,
  String.raw`(?:keytool|jarsigner|apksigner|java)\s${ARGUMENTS}-(?:src|dest|new)?(?:key|store)?pass(?:word)?\s{1,4}`,
  String.raw`openssl\s${ARGUMENTS}-[kK]\s{1,4}`,
  String.raw`mongo(?:sh|dump|restore|export|import|stat|top)?\s${ARGUMENTS}-p\s{1,4}`,
  // If it prints (-n), no file is named before the user.
  String.raw`htpasswd\s{1,4}(?=(?:${HTPASSWD_OPTION}){0,5}-\w{0,8}b)(?:(?=(?:${HTPASSWD_OPTION}){0,5}-\w{0,8}n)(?:${HTPASSWD_OPTION}){1,6}|(?:${HTPASSWD_OPTION}){1,6}(?!-)${ARGUMENT}{1,255}\s{1,4})(?!-)${ARGUMENT}{1,128}\s{1,4}`,
];

/**
 * Each begins at the start of a word, and repeats a limited number of characters, so its time is linear in the text.
 */
const NAMED: readonly NamedShape[] = [
  {
    kind: 'authorization',
    shape: shape(
      String.raw`${WORD_BEGIN}(?:proxy-)?authorization${SIGN}(?:(?:basic|bearer|token|digest|negotiate)\s{1,4})?`,
      String.raw`[^\s"',;]{1,4096}`,
    ),
    needs: ['authorization'],
    bond: 'sign',
    isHeader: true,
  },
  {
    kind: 'token',
    shape: shape(
      `${WORD_BEGIN}(?:x-(?:auth|api|access)-(?:token|key)|set-cookie|cookie)${SIGN}`,
      String.raw`[^\s"']{1,4096}`,
    ),
    needs: ['cookie', 'x-auth-', 'x-api-', 'x-access-'],
    bond: 'sign',
    isHeader: true,
  },
  {
    shape: shape(
      String.raw`(?<![a-zA-Z])[a-z][\w+.-]{1,15}:\/\/[^\s:/@'"<>]{0,128}:`,
      String.raw`[^\s/@'"<>]{1,256}(?=@)`,
    ),
    needs: ['://'],
    bond: 'end',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}--?(?<name>(?=[\w-]{0,40}?(?:pass|pwd|pw|secret|token|key|auth|cred))[A-Za-z][\w-]{2,50})\s{1,4}${OPEN}`,
      String.raw`[^\s"'-][^\s"']{0,4095}`,
    ),
    needs: [],
    bond: 'option',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}config(?:ure)?\s{1,4}set\s{1,4}(?:[\w.:/@-]{0,100}[.:/])?${NAME}\s{1,4}${OPEN}`,
      String.raw`[^\s"'-][^\s"']{0,4095}`,
    ),
    needs: ['config'],
    bond: 'option',
  },
  {
    shape: shape(`${WORD_BEGIN}(?:${PROGRAM_OPTIONS.join('|')})${OPEN}`, String.raw`[^\s"'-][^\s"']{0,255}`, 'g'),
    needs: [
      'login',
      'sshpass',
      '-cli',
      'ldap',
      'zip',
      'openssl',
      'mongo',
      'htpasswd',
      'nmcli',
      'wpa_',
      'keypass',
      'storepass',
      '-new',
    ],
    bond: 'argument',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}(?:-[uU]|--user|--proxy-user)\s{0,4}${OPEN}[^\s:"']{1,128}:`,
      String.raw`[^\s"']{1,256}`,
      'g',
    ),
    needs: ['-u', '--user', '--proxy-user'],
    bond: 'end',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}(?:mysql|mysqldump|mysqladmin|mariadb|sshpass|7z[arz]?|rar|unrar)\b[^|;&\n]{0,200}?\s-p${OPEN}`,
      String.raw`[^\s"']{1,256}`,
      'g',
    ),
    needs: ['mysql', 'mariadb', 'sshpass', '7z', 'rar'],
    bond: 'end',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}(?:smbclient|rpcclient|smbget|smbcacls|smbcquotas|smbtree|net)\s${ARGUMENTS}(?:-U|--user)[\s=]{0,4}${OPEN}[^\s"'%]{1,128}%`,
      String.raw`[^\s"']{1,256}`,
      'g',
    ),
    needs: ['smb', 'rpcclient', 'net '],
    bond: 'end',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}(?:echo|printf)\s{1,4}(?:-[a-zA-Z]{1,3}\s{1,4}|${QUOTE}%s(?:\\n)?["']\s{1,4})?${OPEN}[\w.@-]{1,64}:`,
      String.raw`[^\s"'|]{1,256}(?=[^|\n]{0,200}\|\s{0,4}(?:sudo\s{1,4})?(?:[\w./-]{0,40}\/)?chpasswd\b)`,
      'g',
    ),
    needs: ['chpasswd'],
    bond: 'end',
  },
  {
    shape: shape(
      String.raw`${WORD_BEGIN}chpasswd\b[^|;&<\n]{0,80}<<<\s{0,4}${OPEN}[\w.@-]{1,64}:`,
      String.raw`[^\s"']{1,256}`,
      'g',
    ),
    needs: ['chpasswd'],
    bond: 'end',
  },
  {
    // Of Go's drivers: `user:x@tcp(host)/db`.
    shape: shape(
      String.raw`(?<![\w:/@.+-])[\w.-]{1,64}:`,
      String.raw`[^\s@/"'<>:]{3,128}(?=@(?:(?:tcp|tcp4|tcp6|udp|unix|cloudsql|pipe)?\(|\/[\w-]{1,64}(?:[?"'\s]|$)))`,
    ),
    needs: ['@tcp', '@udp', '@unix', '@cloudsql', '@pipe', '@(', '@/'],
    bond: 'end',
  },
  {
    // Of SQL.
    shape: shape(
      String.raw`${WORD_BEGIN}(?:create|alter|set|grant)\s[^\n;\\]{0,200}?\b(?:identified\s{1,4}(?:with\s{1,4}\S{1,40}\s{1,4})?(?:by|as)|password)(?:\s{1,4}for\s[^\n=;\\]{1,80}?)?\s{0,4}=?\s{0,4}(?:password\()?(?<open>\\?["'])`,
      String.raw`[^\s"']{1,256}`,
    ),
    needs: ['identified', 'password'],
    bond: 'end',
  },
  {
    // Of debconf: `package package/root_password password x`.
    shape: shape(String.raw`(?<=[\w-]\/)[\w-]{0,40}passw[\w-]{0,40}\s{1,4}password\s{1,4}`, String.raw`[^\s"']{1,256}`),
    needs: ['password'],
    bond: 'end',
  },
  {
    // Of .pgpass.
    shape: shape(
      String.raw`(?<![\w.:/-])(?:[\w.-]{1,255}|\*):(?:\d{4,5}|\*):[\w.*-]{1,64}:[\w.*@-]{1,64}:`,
      String.raw`[^\s"':]{3,256}(?=["']|\r?\n|$)`,
    ),
    needs: [':5432:', ':5433:', ':6432:', ':*:'],
    bond: 'end',
  },
  {
    // Of PHP: `define('DB_PASSWORD', 'x')`.
    shape: shape(
      String.raw`(?<=\(\s{0,4}["'])${NAME}["']\s{0,4},\s{0,32}(?<open>["'])`,
      String.raw`[^\s"',;&|)}\]]{1,4096}`,
    ),
    needs: ["',", '",', "' ,", '" ,'],
    bond: 'sign',
  },
  {
    // Of .netrc, and of the settings of Redis.
    shape: shape(
      String.raw`${WORD_BEGIN}(?:login\s{1,4}[^\s"']{1,128}\s{1,4}password|requirepass|masterauth)\s{1,4}${OPEN}`,
      String.raw`[^\s"'-][^\s"']{0,255}`,
      'g',
    ),
    needs: ['requirepass', 'masterauth', 'password'],
    bond: 'option',
  },
  {
    // Of XML, as in the settings of Maven.
    shape: shape(
      String.raw`<(?:[\w.-]{1,40}:)?(?<name>[\w.-]{2,64})(?:\s[^<>\n\\]{0,200})?>\s{0,40}`,
      String.raw`[^<\s](?:[^<\n]{0,1022}[^<\s])?(?=\s{0,40}<\/)`,
    ),
    needs: ['</'],
    bond: 'end',
  },
];

function shape(before: string, value: string, flags = 'gi'): RegExp {
  return new RegExp(`(?<before>${before})(?<value>${value})`, flags);
}

/** The words that `namedValues` needs to know about in a text. */
export const NAME_WORDS: readonly string[] = NAMED.flatMap(({ needs }) => needs);

/** Returns the values in `text` that have a secret's name. `words`: those of `NAME_WORDS` that it has. */
export function namedValues(text: string, words: ReadonlySet<string>): NamedValue[] {
  const shapes = NAMED.filter(({ needs }) => needs.length === 0 || needs.some((need) => words.has(need)));
  return [...shapes.flatMap((shape) => shapedValues(text, shape)), ...assignedValues(text)];
}

function shapedValues(text: string, { kind = 'password', shape, needs: _, ...rest }: NamedShape): NamedValue[] {
  return [...text.matchAll(shape)]
    .filter(({ groups }) => groups?.['name'] === undefined || groups['name'] === 'auth' || isSecretName(groups['name']))
    .map((match) => {
      const { before = '', value = '', open = '' } = match.groups ?? {};
      const start = match.index + before.length;
      return { ...rest, kind, at: match.index, before, open, start, end: endOfValue(text, start, value) };
    });
}

/** Returns the position of the quote around a value, which may begin before its name: `'Authorization: Bearer x'`. */
export function quoteBefore(text: string, { at, before, open, start, isHeader }: NamedValue): number | undefined {
  if (open !== '') return text.lastIndexOf(open.slice(-1), start - 1);
  const isBeforeName = isHeader === true && /["']/.test(text[at - 1] ?? '') && /^[\w.-]+\s*:/.test(before);
  return isBeforeName ? at - 1 : undefined;
}

/** A text without any of these has no secret that only its syntax shows. */
const SYNTAX_WORDS =
  /pass|pwd|pw|secret|token|key|cred|psk|jwt|bearer|mnemonic|otp|auth|cookie|login|unlock|unseal|newusers|sudo|kinit|gpg|vault|user|group|ipmitool|cqlsh|mosquitto|snmp|lftp|crypt|-from-|sqlplus|openssl|secure|imp|exp|sql|bcp|smb|ncftp|\s-[ab]\s|freerdp|alias|\bwg\b/i;

/** Whether a command must be parsed for secrets that only its syntax shows. */
export function mayTell(cmd: string): boolean {
  return SYNTAX_WORDS.test(cmd);
}
