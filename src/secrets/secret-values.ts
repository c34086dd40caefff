import type { NamedValue } from './secret-assignments.ts';

/** A value after the name of a secret, in its line. */
interface Found {
  readonly value: string;
  /** The text of the line before the name, and after the value. */
  readonly lead: string;
  readonly rest: string;
  readonly isQuoted: boolean;
  readonly found: NamedValue;
}

/** Of program text, which has expressions and types after names, and quoted words that are not secrets. */
const CODE_LEAD =
  /^\s*(?:[+-]\s+)?(?:\/\/(?=\s)|\/\*|\*|#include|import|from|def|class|function|export\s+(?:default|declare|const|function|class|type|interface|async|let|var|enum)|const|let|var|return|if|elif|else|for|foreach|while|switch|case|throw|raise|yield|await|public|private|protected|static|readonly|type|interface|my|our|local|sub|use|fn|pub|func|package|async|new|assert|print|with|try|except|lambda|del|not|and|or|in|is)\b|[\w\])]\(|\(\s*$|=>|->|::|&&|\|\||[!=]==?\s|\b(?:self|this|cls)\.|\$this|[?]\s|<\w+>|`/;
const CODE_REST =
  /^[\w.]*\(|^\s*(?:[;{]|=>|->|&&|\|\||\?|\)|[-+*/%]\s|if\b|or\b|and\b|is\b|in\b|not\b|===?|!=|\|\s)|[;{(,]\s*$|\w\(|\)\s*[;:,{]?\s*$|=>|\]\s*=/;

/** Words in place of a value: a type, a word of a language, a word of an example. */
export const WORDS =
  /^(?:string|str|bytes?|number|bool(?:ean)?|int(?:eger)?|any|unknown|text|varchar|char|object|await|new|this|self|async|function|require|import|return|process|os|env|optional|null|none|nil|true|false|undefined|yes|no|on|off|ok|set|unset|empty|default|required|missing|invalid|valid|wrong|expired|enabled|disabled|redacted|hidden|masked|removed|changed|deleted|created|found|files?|compat|total|read|write|admin|static|const|void|auto|all|static|total|example|value|changeit|secret_?key|api_?key|here|static|prompt|ask|pass|password|passwd|passphrase|token|secret|credentials?|keys?|todo|tbd|n\/a|(?:o )?jwt)[?!.:,;]*$/i;
/** Names of ciphers, and versions. */
const TECHNICAL =
  /^(?:sha-?\d+|md5|utf-?\d+|base64(?:url)?|aes\S{0,20}|[hrep]s\d{3}|x509|x25519|ed25519\S{0,20}|ed448|ecdsa\S{0,20}|rsa\S{0,10}|oauth[12]?\S{0,10}|pkcs\d+|v?\d+(?:\.\d+)+\S{0,16}|v\d+|\d+[a-z%]{0,3}|amd64|i[3-6]86|arm64|armhf|x86_64|scram-sha-\d+|bcrypt|argon2\w{0,2}|scrypt|pbkdf2|iso-?\d+\S{0,10}|utf8mb4\w*|\d+\/(?:tcp|udp|sctp)|0x0+|#[0-9a-f]{3,8}|u?int\d+|float\d+)$/i;

/** Whether the text after the name of a secret is not a value, in a command or in a text that is shown. */
export function isNoValue(
  text: string,
  { before, start, end, open, bond, isHeader }: NamedValue,
  value: string,
): boolean {
  const isCode = open === '' && bond === 'sign' && isHeader !== true && CODE.test(value);
  // `Password: su: Authentication failure`: a message of a program in place of the answer.
  const isProgram = /:\s+$/.test(before) && /^[\w./+-]+:$/.test(text.slice(start, end)) && /\s/.test(text[end] ?? '');
  return isCode || isProgram || PLACEHOLDER.test(value) || isNamedPath(before, value);
}

/**
 * `token = getToken()`, `password: string`, `= req.headers.authorization`: program text, which is read in order to be
 * changed.
 */
const CODE =
  /^(?:[\w$.]{1,80}\(.*|(?:[A-Za-z_$]{1,30}\.){1,6}[A-Za-z_$]{1,30}|(?:string|str|number|bool|boolean|int|integer|any|unknown|text|varchar|char|object|await|new|this|self|async|function|require|import|return|process|os|env|optional)[?!]?)$/i;

/** A variable, or a placeholder: `$PASSWORD`, `null`, `****`. */
export const PLACEHOLDER = /^(?:\$\w*|\$\{[^}]*\}?|\$\(.*|<.*|\*+|x{3,}|null|none|true|false|undefined|yes|no|‹.*)$/i;

/** Whether a value is a secret, in a text that is shown. `end`: where it ends. */
export function isSecretValue(text: string, found: NamedValue, end: number): boolean {
  const { start, at, open, bond } = found;
  const value = text.slice(start, end);
  if (isPath(value)) return false;
  // `http://user:pass@host` of a manual.
  if (bond === 'end') return !/user(?:name)?\]?\s?:$/i.test(found.before) || !WORDS.test(value);
  if (bond === 'argument') return true;
  const before = text.slice(Math.max(0, at - SEEN), at);
  const behind = text.slice(end, end + SEEN);
  const lead = before.slice(before.lastIndexOf('\n') + 1);
  const rest = behind.slice(0, behind.search(/\n|$/));
  const isQuoted = open !== '' && rest !== '' && open.endsWith(rest[0] ?? '');
  return judge({ value, lead, rest, isQuoted, found });
}

/** How much of a line is examined before a name and after a value. */
const SEEN = 160;

function judge(one: Found): boolean {
  const { value, lead, rest, isQuoted, found } = one;
  if (/^[A-Z]+(?:_[A-Z]+)+$/.test(value)) return false;
  if (found.isHeader === true) {
    if (
      /^`?(?:bearer|basic|token|digest)?\W*$/i.test(value) ||
      /^[\w$.]+\(|^(?:[A-Z]\w+\.)+[A-Z][a-z][A-Za-z]+,?$/.test(value)
    )
      return false;
    return !isCode(one) || (isStrong(value) && !isExpression(value));
  }
  if (found.isColumn === true) return isStrong(value) && value.length >= 12 && !isName(value);
  if (WORDS.test(value) && !(isQuoted && isData(one))) return false;
  if (/define\(\s*["']$/.test(lead)) return true;
  if (/auth["']?\s*[:=]/i.test(found.before) && (!isStrong(value) || isName(value))) return false;
  if (/^\\f[A-Z]|^\s/.test(value)) return false;
  if (TECHNICAL.test(value) && !/^\d{6,}$/.test(value)) return false;
  if (found.bond === 'option') return isOptionValue(one);
  if (/^[\d.,-]{1,9}$/.test(value) && /tokens?["']?\s*[:=]/i.test(found.before)) return false;
  if (isPassword(one) && isCode(one) && (isQuoted || (lead.trim() === '' && /\w=$/.test(found.before)))) return true;
  if (isCode(one)) return isStrong(value) && (isQuoted ? !isName(value) : value.length >= 16 && !isExpression(value));
  if (found.open !== '') return true;
  // `-passin pass:x` of openssl.
  if (/-pass(?:in|out)?\s+$/.test(lead)) return true;
  if (/^[\w.]+\[/.test(value) || isReference(one)) return false;
  if (isData(one)) return true;
  // `token: one that has leaked`, `passwd:amd64 1:4.13`: among other words.
  if (/^\s+[^\s#;]/.test(rest) && !/=$/.test(found.before.trimEnd())) return isStrong(value);
  return isStrong(value) || !/[a-z]:$/i.test(found.before) || lead.trim() === '';
}

/** `token = Error`, `password=password`: a name of something elsewhere. */
function isReference({ value, lead, found: { before } }: Found): boolean {
  if (/<|\?\./.test(value)) return true;
  if (!/^[A-Za-z_$][A-Za-z_.?$]*$/.test(value)) return false;
  if (/^(?:[\w$]+\.)*(?:[a-z]{2,}|[A-Z][a-z]{2,})(?:[A-Z][a-z]+)+$/.test(value) && /\s$/.test(before)) return true;
  const isIndented = /^(?: {2,}|\t)/.test(lead);
  if (/\s=\s*$/.test(before) && isIndented) return !isPassword({ value, found: { before } });
  return (isIndented || lead.trim() !== '') && /(?:pass|token|secret|key|cred)/i.test(value) && /=\s*$/.test(before);
}

/** Whether a word can be the password that its name promises: `swordfish`. */
function isPassword({
  value,
  found: { before },
}: {
  readonly value: string;
  readonly found: Pick<NamedValue, 'before'>;
}): boolean {
  return /^[a-z]{5,24}$/.test(value) && !WORDS.test(value) && /pass|psk|secret|pwd/i.test(before);
}

/** An expression in place of a value: a call, an element, a member. */
function isExpression(value: string): boolean {
  return /[()[\]{}<>.$,;]/.test(value) || !/\d.*\d/.test(value);
}

/** Not `[--token TOKEN]`, `--auth basic|digest`, `--password string   What it is for` of a help text. */
function isOptionValue({ value, lead, rest, isQuoted, found }: Found): boolean {
  if (/[\]|]/.test(value) && !isQuoted) return false;
  if (isStrong(value) || isQuoted) return true;
  return /^[a-z]{4,}$/.test(value) && lead.trim() !== '' && !/^\s{2}/.test(rest) && /pass|secret/i.test(found.before);
}

/** Text before a name that begins its line, in settings files and programs that print them. */
const DATA_LEAD =
  /^\s*(?:[-#;>*|+]\s{0,3})?(?:export\s+|declare\s+-x\s+|set\s+|ENV\s+|ARG\s+|Environment=|\/\/\S{1,200}:)?["']?$/;

/** `"password": "x"` of JSON, `PASSWORD=x` and `password: x` alone in their line, `Server=x;Password=y`. */
function isData({ lead, rest, found: { before }, isQuoted }: Found): boolean {
  if (isQuoted && /^\s*[{[,]?\s*(?:.*[{,]\s*)?\\*"$/.test(lead) && /^[\w.-]+\\*"\s*:/.test(before)) return true;
  if (/\w=$/.test(before) && (/\w=[^;=]*;\s?$/.test(lead) || /^;\s?[A-Za-z][\w ]{1,40}=/.test(rest))) return true;
  if (!DATA_LEAD.test(lead)) return false;
  if (/["']$/.test(lead) && /\w=$/.test(before)) return /^["'],?\s*$/.test(rest);
  return /^["']?\s*(?:[#;].*)?$/.test(rest) && !/[,;]\s*$/.test(rest);
}

/** Where a value ends that fills the rest of its line: `password = two words`, `PASSWORD=a,b;c`. */
export function endOfLine(text: string, { start, at, open, bond, before, isHeader }: NamedValue): number | undefined {
  if (open !== '' || bond !== 'sign' || isHeader === true || /\n/.test(before)) return undefined;
  const lead = text.slice(Math.max(0, at - SEEN), at);
  if (!DATA_LEAD.test(lead.slice(lead.lastIndexOf('\n') + 1))) return undefined;
  const line = text.slice(start, start + LONGEST_LINE);
  if (/^[;#&|)]/.test(line)) return undefined;
  const shape = /\s=\s*$/.test(before) ? /^[^\n\r"']*?(?=\s+[#;]|\s+[\w.-]+\s*=|\s*\r?\n|\s*$)/ : /^[^\s"']*/;
  return start + (shape.exec(line)?.[0].length ?? 0);
}

const LONGEST_LINE = 512;

/** Whether the line is one of a program. */
function isCode(one: Found): boolean {
  const { lead, rest, found } = one;
  if (isData(one)) return false;
  if (isSetting(one)) return isExpression(one.value) && /[()[\]{}<>]/.test(one.value);
  return (
    CODE_LEAD.test(lead) ||
    CODE_REST.test(one.isQuoted ? rest.slice(1) : one.value + rest) ||
    (!one.isQuoted && CODE_REST.test(rest)) ||
    (one.isQuoted && found.open === "'" && /,\s*$/.test(rest)) ||
    /\?:/.test(found.before)
  );
}

/**
 * `DB_PASSWORD=x` among other words, as in a line of a log or of cron: calls that are closed before it, or come after
 * it, do not make it program text.
 */
function isSetting({ lead, rest, found: { open, before } }: Found): boolean {
  if (open !== '' || !/(?:^|[\s(;])\w{3,}=$/.test(before) || /^[;,]/.test(rest)) return false;
  if (/(?:^|[\s(;])[A-Z][A-Z0-9_]{2,}=$/.test(before)) return true;
  const closed = lead.replace(/\([^()]*\)/g, '');
  return closed !== lead && !CODE_LEAD.test(closed) && (rest === '' || /^\s/.test(rest));
}

/** Whether a value cannot be a word: letters with digits or signs between them. */
export function isStrong(value: string): boolean {
  if (value.length < 6 || TECHNICAL.test(value) || WORDS.test(value)) return false;
  if (/^[a-z]+[-_]?\d{1,2}$/i.test(value) && value.length < 7) return false;
  return /[A-Za-z]/.test(value) && (/\d/.test(value) || /[!@#%^&*+=~$]/.test(value));
}

/** Whether a value is a name of something: `snake_case2`, `camelCase`, `dotted.name`, `/a/path`. */
export function isName(value: string): boolean {
  return /^[a-z]+(?:[_.-][a-z]+)+\d?$/i.test(value) || /^[a-z]+(?:[A-Z][a-z]+)+\d?$/.test(value) || /[({<]/.test(value);
}

/** `PWD=/home/x`, `passwd=/etc/passwd`, `TOKEN_FILE=/run/token`: a path, not the value. */
function isNamedPath(before: string, value: string): boolean {
  return /^\/[\w./@+-]*$/.test(value) && /(?:pwd|passwd|file|path)["']?\s*[=:]\s*["']?$/i.test(before);
}

/** The same for more than a name shows, in a text: `private_key: keys/a.pem`. */
function isPath(value: string): boolean {
  return (
    /^(?:~|\.{1,2}|[A-Za-z]:|\$\w+|file:\/\/)?(?:[\\/][a-z0-9._@%{}$-]+)+[\\/]?$/.test(value) ||
    /^[\w./~$@{}-]+\.(?:pem|key|crt|cer|der|txt|json|ya?ml|jks|p12|pfx|keytab|conf|cnf|gpg|asc|pub|env|py|js|ts|sh|h|c|html?|php|md|rst)$/.test(
      value,
    )
  );
}
