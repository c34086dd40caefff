/**
 * What a name says of its value. A name is split into words (`SecretAccessKey`, `secret_access_key`, `SECRET-ACCESS-KEY`
 * are the same), its end that only says which one it is (`_PROD`, `_2`, `Base64`) is taken away, and the last word, or
 * the last two, say whether it is a secret. `token_count`, `passwordPolicy` and `PASSWORD_FILE` are none.
 */

/** Which one of several it is, or how it is written. */
const ENDS = words(
  'prod production dev devel development test testing stage staging live local sandbox qa uat ci old new current previous prev primary secondary main default backup value val data b64 base64 base hex hash hashed raw plain plaintext text clear cleartext encrypted enc str env ro rw a b c',
);

/** Secrets by themselves. */
const SECRETS = words(
  'password passwords passwd passwds passphrase passphrases passcode pass pwd pw secret secrets token tokens apikey apikeys credential credentials cred creds psk authtok authkey jwt bearer mnemonic otp totp pincode passkey',
);

/** What a key is for that is not to be seen. */
const KEYS = words(
  'api access private secret shared preshared encryption encrypt decryption decrypt crypto cipher master app application signing sign signature session cookie jwt jws hmac account storage auth authentication authorization client service admin root license licence activation product consumer deploy deployment host unseal recovery webhook aes des vault bearer write ingest integration subscription function functions server sas security ssh ssl tls rsa ec wrapping derivation validation machine pre user team org project bot developer dev live test rest secretaccess base env db database repo restic borg backup sync cluster join agent node tsig rndc omapi routing instrumentation ike isakmp ntp wep wpa zerotier static symmetric',
);

/** Of such a name, the value is public, or says something else. */
const OTHERS = words(
  'public pub page next continuation sync cancellation cancel syntax max min num n total prompt completion input output cached reasoning count css design verify expected',
);

/** What follows a secret's word in a name of another thing. */
const ABOUT = words(
  'file files path dir directory url uri endpoint address host port server name names id ids type types kind class count length len size min max ttl expiry expires expiration age policy policies rule rules command cmd helper program script hook hint reset field label title input form prompt placeholder error errors valid validator validation required enabled disabled auth authentication authorization manager provider service store storage cache index list map maps set get arn ref version encoding encoder format algorithm alg method mode regex pattern budget limit limits window usage used cost price rate per bucket generator factory handler parser stream position pos offset start end line column keyword change changed attempts retries strength quality history rotation interval timeout scope scopes issuer audience owner user username key keys agent only file_path mount volume lookup backend engine source process exec executable binary bin tool plugin module shell run runner callback wrapper filter entry entrypoint driver getter sock socket',
);

/** Written as one word. */
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

/** Names repeat. */
const KNOWN = new Map<string, boolean>();
const MOST_KNOWN = 2000;

function look(name: string): boolean {
  const all = wordsOf(name);
  if (all.some((word) => OTHERS.has(word))) return false;
  const left = withoutEnds(all);
  if (saysSecret(left)) return true;
  // `PASSWORD_POSTGRES`, `TOKEN_GITHUB`: of the environment, where what it is for may stand behind.
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
