/**
 * How a value is connected with what makes it a secret, as a shell sees it: the end of a word (`-phunter2`), the text
 * after a sign (`NAME=value`, `name: value`), the word after an option (`--password value`), or an argument of a
 * certain program (`zip -P value`).
 */
export type Bond = 'end' | 'sign' | 'option' | 'argument';

/** A part of a text that looks like a secret, and its kind. */
export interface SecretSpan {
  readonly start: number;
  readonly end: number;
  readonly kind: string;
}

/** A value that was found together with its name. */
export interface NamedValue {
  readonly kind: string;
  readonly bond: Bond;
  /** Whether a quote before the name also quotes the value: `'Authorization: Bearer x'`. */
  readonly isHeader?: true;
  /** Where its name begins, or its program. */
  readonly at: number;
  /** The text from there to the value. */
  readonly before: string;
  /** The quote that it begins with, as it is written; empty without one. */
  readonly open: string;
  /** Whether it is in the column after that of its name. */
  readonly isColumn?: boolean;
  /** The value, up to a blank or a quote. */
  readonly start: number;
  readonly end: number;
}

/** A part of every name of a secret. */
const PARTS = /pass|pwd|pw|secret|token|key|cred|psk|jwt|bearer|mnemonic|otp|auth|pincode|cookie|codes/gi;

const OF_NAME = /[\w.-]/;
const LONGEST_NAME = 64;
/** `api key`, `unseal key 1`, `pass phrase`: names of two words for people. */
const WORD_BEFORE = /(?<![\w.-])[A-Za-z]{2,16} $/;
const WORD_BEHIND = /[ -](?:\d{1,2}|phrase|word|code)(?=\s{0,4}:)/iy;

/** Between a name and its value: closing quotes and brackets, and a sign. */
const SIGN =
  /(?:\\{0,3}["'])?\]?[ \t]{0,64}(?:=>|\?=|:=|=(?![=~])|\??:(?!\/\/|:)=?|::(?=[ \t]{1,4}[A-Za-z0-9+/]{8}))[ \t]{0,64}(?<open>\\{0,3}["']|\$["'])?/y;
/** Two columns, of which the second ends the line. */
const COLUMN = /(?:[ \t]{2,64}|\t|[ \t]{0,64}\|[ \t]{1,64})(?=[^\s|]{12,512}[ \t|]{0,200}\r?(?:\n|$))/y;
const FIRST_COLUMN = /(?:^|\n)[ \t|]{0,16}$/;

/** The value up to a usual end. */
const VALUE = /[^\s"',;&|)}\]]{1,4096}/y;

/**
 * Returns the values in `text` after the name of a secret and a sign. Looks at each character a fixed number of times.
 */
export function assignedValues(text: string): NamedValue[] {
  const found: NamedValue[] = [];
  let done = 0;
  PARTS.lastIndex = 0;
  for (let part = PARTS.exec(text); part !== null; part = PARTS.exec(text)) {
    if (part.index < done) continue;
    let [at, end] = [part.index, PARTS.lastIndex];
    while (at > done && at > part.index - LONGEST_NAME && OF_NAME.test(text[at - 1] ?? '')) at--;
    while (end < part.index + LONGEST_NAME && OF_NAME.test(text[end] ?? '')) end++;
    done = end;
    PARTS.lastIndex = end;
    const value = valueBehind(text, at, end);
    if (value === undefined) continue;
    found.push(value);
    // The text of a value is not a name.
    [done, PARTS.lastIndex] = [value.end, value.end];
  }
  return found;
}

function valueBehind(text: string, from: number, end: number): NamedValue | undefined {
  WORD_BEHIND.lastIndex = end;
  const behind = WORD_BEHIND.test(text) ? WORD_BEHIND.lastIndex : end;
  SIGN.lastIndex = behind;
  const sign = SIGN.exec(text) ?? column(text, from, end);
  if (sign === null) return undefined;
  const begin = nameBegin(text, from, end);
  if (begin === undefined) return undefined;
  const start = behind + sign[0].length;
  VALUE.lastIndex = start;
  const value = VALUE.exec(text)?.[0] ?? '';
  return {
    kind: 'password',
    bond: 'sign',
    at: begin,
    before: text.slice(begin, start),
    open: sign.groups?.['open'] ?? '',
    isColumn: /^[^:=]*$/.test(sign[0]),
    start,
    end: endOfValue(text, start, value),
  };
}

/** Returns where a value ends that begins at `start`: a backslash before a quote belongs to the quote. */
export function endOfValue(text: string, start: number, value: string): number {
  const end = start + value.length;
  return /["']/.test(text[end] ?? '') ? start + value.replace(/\\+$/, '').length : end;
}

/** Returns the text between two columns of a table. */
function column(text: string, from: number, end: number): RegExpExecArray | null {
  COLUMN.lastIndex = end;
  const found = COLUMN.exec(text);
  return found !== null && FIRST_COLUMN.test(text.slice(Math.max(0, from - 18), from)) ? found : null;
}

/** Returns where a name begins that is a secret's; undefined if it is not. */
function nameBegin(text: string, at: number, end: number): number | undefined {
  const first = text[at - 1] === '\\' ? text.slice(at, end).replace(/^[nrt]/, '') : text.slice(at, end);
  const name = first.replace(/^[.-]+/, '');
  // A line break as an escape (`\npassword`) is not part of a name.
  if (isSecretName(name)) return at;
  const begin = end - name.length;
  const [word] = /^keys?$/i.test(name) ? (WORD_BEFORE.exec(text.slice(Math.max(0, begin - 20), begin)) ?? []) : [];
  return word !== undefined && isSecretName(word + name) ? begin - word.length : undefined;
}

/**
 * Decides by its name whether a value is a secret. A name is split into words (`SecretAccessKey`, `secret_access_key`,
 * `SECRET-ACCESS-KEY` are the same), an end that only distinguishes (`_PROD`, `_2`, `Base64`) is removed, and the last
 * word, or the last two, decide. `token_count`, `passwordPolicy` and `PASSWORD_FILE` are not secrets.
 */

/** Ends that distinguish several, or name an encoding. */
const ENDS = words(
  'prod production dev devel development test testing stage staging live local sandbox qa uat ci old new current previous prev primary secondary main default backup value val data b64 base64 base hex hash hashed raw plain plaintext text clear cleartext encrypted enc str env ro rw a b c',
);

const SECRETS = words(
  'password passwords passwd passwds passphrase passphrases passcode pass pwd pw secret secrets token tokens apikey apikeys credential credentials cred creds psk authtok authkey jwt bearer mnemonic otp totp pincode passkey',
);

/** Purposes of keys that must stay secret. */
const KEYS = words(
  'api access private secret shared preshared encryption encrypt decryption decrypt crypto cipher master app application signing sign signature session cookie jwt jws hmac account storage auth authentication authorization client service admin root license licence activation product consumer deploy deployment host unseal recovery webhook aes des vault bearer write ingest integration subscription function functions server sas security ssh ssl tls rsa ec wrapping derivation validation machine pre user team org project bot developer dev live test rest secretaccess base env db database repo restic borg backup sync cluster join agent node tsig rndc omapi routing instrumentation ike isakmp ntp wep wpa zerotier static symmetric',
);

/** Names whose value is public, or something else. */
const OTHERS = words(
  'public pub page next continuation sync cancellation cancel syntax max min num n total prompt completion input output cached reasoning count css design verify expected',
);

/** Words after a secret's word that name another thing. */
const ABOUT = words(
  'file files path dir directory url uri endpoint address host port server name names id ids type types kind class count length len size min max ttl expiry expires expiration age policy policies rule rules command cmd helper program script hook hint reset field label title input form prompt placeholder error errors valid validator validation required enabled disabled auth authentication authorization manager provider service store storage cache index list map maps set get arn ref version encoding encoder format algorithm alg method mode regex pattern budget limit limits window usage used cost price rate per bucket generator factory handler parser stream position pos offset start end line column keyword change changed attempts retries strength quality history rotation interval timeout scope scopes issuer audience owner user username key keys agent only file_path mount volume lookup backend engine source process exec executable binary bin tool plugin module shell run runner callback wrapper filter entry entrypoint driver getter sock socket',
);

const COMPOUND =
  /(?:password|passwd|passphrase|passcode|secret|token|apikey|accesskey|secretkey|privatekey|sharedkey|authkey|encryptionkey|masterkey|signingkey|sessionkey|licensekey|instrumentationkey|credentials?|authtok|presharedkey)s?$/;
const COMPOUND_PASS =
  /^(?:db|user|usr|admin|root|my|new|smtp|mail|email|imap|pop|pop3|ftp|sftp|ldap|bind|proxy|redis|mysql|pg|postgres|mongo|sql|wifi|wlan|login|sudo|become|mqtt|svc|service|app|http|auth|enable|master|keystore|truststore|store|key|cert|rabbitmq|amqp|ssh|vnc|rdp|smb|cifs|nas|api|web|site|host|server|remote|plain|default)(?:pass|pw|pwd|psk)$/;

const NONE = /^(?:askpass|keypass|compass|bypass|tokenizer|detoken)$/;

/** Whether a value of this name is a secret. */
export function isSecretName(name: string): boolean {
  const known = KNOWN.get(name);
  if (known !== undefined) return known;
  const isSecret = look(name);
  if (KNOWN.size >= MOST_KNOWN) KNOWN.clear();
  KNOWN.set(name, isSecret);
  return isSecret;
}

const KNOWN = new Map<string, boolean>();
const MOST_KNOWN = 2000;

function look(name: string): boolean {
  const all = wordsOf(name);
  if (all.some((word) => OTHERS.has(word))) return false;
  const left = withoutEnds(all);
  if (saysSecret(left)) return true;
  // `PASSWORD_POSTGRES`, `TOKEN_GITHUB`: variables of the environment, which may end with their purpose.
  if (!/^[A-Z][A-Z0-9]*_[A-Z0-9_]+$/.test(name)) return false;
  const at = left.findIndex((_, index) => saysSecret(left.slice(0, index + 1)));
  return at !== -1 && !left.slice(at + 1).some((word) => ABOUT.has(word));
}

function withoutEnds(all: readonly string[]): readonly string[] {
  let end = all.length;
  while (end > 1 && (ENDS.has(all[end - 1] ?? '') || /^\d+$/.test(all[end - 1] ?? ''))) end--;
  return all.slice(0, end);
}

function saysSecret(left: readonly string[]): boolean {
  const last = (left.at(-1) ?? '').replace(/\d+$/, '');
  const before = left.at(-2) ?? '';
  if (/^keys?$/.test(last)) return KEYS.has(before);
  // `secret_id` of Vault, `secret_key_base`.
  if (last === 'id') return before === 'secret' && left.length === 2;
  if (/^strings?$/.test(last)) return before === 'secret';
  if (last === 'auth') return left.length > 1;
  if (last === 'cookie') return /^(?:erlang|session|auth|magic)$/.test(before);
  if (/^codes?$/.test(last)) return /^(?:recovery|backup|scratch)$/.test(before);
  if (SECRETS.has(last)) return before !== 'ask' && before !== 'no';
  return !NONE.test(last) && (COMPOUND.test(last) || COMPOUND_PASS.test(last));
}

/** `dbPassword_2` is `db`, `password`, `2`. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(' '));
}
