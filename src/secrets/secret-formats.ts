import { isSecretName, type SecretSpan } from './secret-assignments.ts';
import { AROUND, kubernetesSpans, MOST } from './secret-nested.ts';
import { isStrong } from './secret-values.ts';

/**
 * Secrets in formats without `name = value`: the groups that begin with `v` are values, `n` is a name that must be one
 * of a secret. Each expression repeats a limited number of characters, so its time is linear in the text. A text that
 * has none of `needs`, in small letters, is skipped; without `needs`, none is.
 */
const WRITTEN: readonly (readonly [kind: string, shape: RegExp, needs: readonly string[], isStrong?: true])[] = [
  // HTTP.
  [
    'authorization',
    /(?<![\w-])(?:bearer|ssws|apikey)[ \t]{1,4}(?![\w-]{1,64}=["'])(?<v>[\w.~+/=-]{16,4096})/gi,
    ['bearer', 'ssws', 'apikey '],
    true,
  ],
  ['authorization', /(?<![\w-])basic[ \t]{1,4}(?<v>[A-Za-z0-9+/]{12,1024}={0,2})(?![\w-])/gi, ['basic '], true],
  [
    'authorization',
    /authorization:[ \t]{0,4}(?:digest|negotiate|ntlm|aws4-hmac-sha256|hawk|oauth|mac)[ \t]{1,4}(?<v>[^\r\n]{12,2048})/gi,
    ['authorization:'],
  ],
  ['authorization', /authorization:[ \t]{0,4}[\w-]{1,20}[ \t]{1,4}(?<v>[^\s'"`]{12,2048})/gi, ['authorization:'], true],
  [
    'token',
    /(?<![\w-])(?:set-)?cookie:[ \t]{0,4}(?<v>[\w.-]{1,64}=[^\s;,"']{4,4096}(?:;[ \t]?[^\r\n;"']{1,4096}){0,40})/gi,
    ['cookie:'],
  ],
  [
    'token',
    /(?<![\w-])(?:JSESSIONID|PHPSESSID|ASP\.NET_SessionId|connect\.sid|sessionid|session_?id|_?[a-z]{2,20}_session|csrftoken|XSRF-TOKEN)=(?<v>[^\s;,"'&]{12,4096})/gi,
    ['sessid=', 'sessionid=', 'session_id=', 'connect.sid=', '_session=', 'csrftoken=', 'xsrf-token='],
    true,
  ],
  [
    'token',
    /[?&;](?:sig|signature|x-(?:amz|goog)-(?:signature|security-token)|key|auth|code|hmac|sv_sig)=(?<v>[\w%.~+/=-]{20,2048})/gi,
    ['sig=', 'signature=', 'token=', 'key=', 'auth=', 'code=', 'hmac='],
    true,
  ],
  ['password', /:\/\/(?<v>[\w.~%+-]{16,255})(?=(?::x-oauth-basic|:x-token-auth|:)?@)/g, ['://'], true],
  // Addresses to write to, protected by nothing else.
  ['webhook', /hooks\.slack\.com\/(?:services|workflows|triggers)\/(?<v>[\w/+-]{10,200})/g, ['hooks.slack.com']],
  ['webhook', /discord(?:app)?\.com\/api\/(?:v\d{1,2}\/)?webhooks\/\d{5,25}\/(?<v>[\w-]{20,200})/g, ['/webhooks/']],
  [
    'webhook',
    /(?:webhook\.office\.com\/webhookb?2?|outlook\.office(?:365)?\.com\/webhook)\/(?<v>[\w@/-]{20,400})/g,
    ['.office'],
  ],
  ['webhook', /hooks\.zapier\.com\/hooks\/catch\/(?<v>[\w/]{8,100})/g, ['hooks.zapier']],
  ['webhook', /api\.telegram\.org\/bot(?<v>[\w:-]{20,100})/g, ['api.telegram']],
  // Tokens with a recognizable middle or end.
  ['token', /(?:(?<![\w-])|(?<=\\[nrt]))(?<v>\d{8,10}:AA[\w-]{33})(?![\w-])/g, [':aa'], true],
  ['api key', /(?:(?<![\w-])|(?<=\\[nrt]))(?<v>[0-9a-f]{32}-us\d{1,2})(?![\w-])/g, ['-us']],
  ['token', /(?:(?<![\w.-])|(?<=\\[nrt]))(?<v>[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,45})(?![\w-])/g, [], true],
  ['token', /(?:(?<!\w)|(?<=\\[nrt]))(?<v>[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{20,100})/g, ['atlasv1']],
  ['azure token', /(?:(?<![\w~.-])|(?<=\\[nrt]))(?<v>[\w~.]{3}\dQ~[\w~.-]{30,36})/g, ['q~']],
  ['api key', /(?:(?<!\w)|(?<=\\[nrt]))(?<v>[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)(?!\w)/g, ['_mmk']],
  ['token', /(?<!\d)(?<v>\d{15,16}\|[\w-]{27,40})/g, [], true],
  ['api key', /(?:(?<![\w-])|(?<=\\[nrt]))(?<v>pat[A-Za-z0-9]{14}\.[a-f0-9]{40,64})(?!\w)/g, []],
  [
    'api key',
    /(?:(?<![\w-])|(?<=\\[nrt]))(?<v>[pu]at-[a-z]{2,3}\d-[0-9a-f-]{36})(?![\w-])/g,
    ['at-na', 'at-eu', 'at-ap'],
  ],
  // Hashes of passwords.
  ['password hash', /(?<![\w*])\*(?<v>[0-9A-F]{40})(?![0-9A-Fa-f])/g, []],
  ['password hash', /:(?<v>[0-9a-fA-F]{32}:[0-9a-fA-F]{32}):::/g, [':::']],
  ['password hash', /(?<!\w)(?<v>0x0[12]00[0-9A-Fa-f]{40,280})(?!\w)/g, ['0x0']],
  // Files of certain programs.
  [
    'password',
    /^(?:(?:[\w.*-]{1,255}|\/[\w./-]{1,255}|\[[\w:]{2,45}\]):\d{4,5}|(?:\*|localhost|[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}):\*):[\w.*-]{1,64}:[\w.*@-]{1,64}:(?<v>\S{1,1024})$/gm,
    [
      ':5432:',
      ':5433:',
      ':5434:',
      ':5435:',
      ':5436:',
      ':5439:',
      ':6432:',
      ':6543:',
      ':15432:',
      ':25060:',
      ':26257:',
      ':*:',
    ],
  ],
  ['private key', /^Private-Lines: \d{1,4}\r?\n(?<v>(?:[A-Za-z0-9+/=]{1,76}\r?\n?){1,200})/gm, ['private-lines']],
  ['private key', /^Private-MAC: (?<v>[0-9a-f]{40,64})/gm, ['private-mac']],
  ['private key', /---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----\r?\n(?<v>[^-]{1,16384})/g, ['begin ssh2']],
  ['private key', /-----BEGIN OpenVPN Static key V1-----\r?\n(?<v>[0-9a-f\s]{32,2048})/g, ['openvpn static']],
  [
    'private key',
    /^(?:Key|PrivateKey|PrivateExponent|Prime[12]|Exponent[12]|Coefficient): (?<v>[A-Za-z0-9+/]{20,1024}={0,2})$/gm,
    ['exponent', 'coefficient', 'prime1', 'private-key-format', 'key: '],
  ],
  [
    'password',
    /"(?:auth|identitytoken|registrytoken|_auth)"\s{0,4}:\s{0,4}"(?<v>[A-Za-z0-9+/=_.-]{8,4096})"/g,
    ['"auth"', 'identitytoken', 'registrytoken', '"_auth"'],
  ],
  ['password', /(?<![\w])_auth[ \t]{0,4}=[ \t]{0,4}"?(?<v>[^\s"]{4,4096})/g, ['_auth']],
  [
    'password',
    /^[ \t]{0,16}(?:requirepass|masterauth|r[ow]community6?|bindpw|rootbindpw|rootpw|auth-pass|ServerPassword|(?:enable |user(?:name)? \S{1,64} )?(?:password|secret)(?: \d)?)[ \t]{1,16}(?:"(?<v>[^"\n]{3,256})"|(?<v2>[^\s"]{3,256}))(?=;?[ \t]{0,16}(?:#[^\n]{0,200})?\r?$)/gm,
    ['requirepass', 'masterauth', 'community', 'bindpw', 'rootpw', 'auth-pass', 'serverpassword', 'password', 'secret'],
  ],
  [
    'password',
    /(?<![\w-])(?:login|user(?:name)?|account)[ \t]{1,4}\S{1,128}\s{1,8}(?:with |there |has )?pass(?:word)?[ \t]{1,4}(?:"(?<v>[^"\n]{1,256})"|(?<v2>[^\s"]{3,256}))/g,
    ['pass ', 'password '],
    true,
  ],
  ['password', /^user \S{1,64} (?:[^\n>]{1,200} )?>(?<v>\S{1,256})/gm, ['user ']],
  ['password', /(?<=[\s:])(?:PSK|XAUTH|EAP)[ \t]{1,8}"(?<v>[^"\n]{1,256})"/g, ['psk ', 'xauth ', 'eap ', 'psk\t']],
  ['password', /:[ \t]{0,4}RSA[ \t]{1,8}\S{1,128}[ \t]{1,8}"(?<v>[^"\n]{1,256})"/g, ['rsa ']],
  [
    'password',
    /^[ \t]{0,8}"?[\w.*@\\-]{1,64}"?[ \t]{1,16}"?[\w.*@-]{1,64}"?[ \t]{1,16}"(?<v>[^"\n]{3,256})"[ \t]{1,16}(?:\*|[\d./]{7,18})[ \t]{0,16}$/gm,
    ['" *', '"\t*', '" 1'],
  ],
  [
    'password',
    /^createUser[ \t]{1,8}(?:-e \S{1,40} )?\S{1,64}[ \t]{1,8}(?:MD5|SHA\S{0,8})[ \t]{1,8}"?(?<v>[^"\s]{3,256})"?(?:[ \t]{1,8}(?:AES|DES)\S{0,8}[ \t]{1,8}"?(?<v2>[^"\s]{3,256}))?/gm,
    ['createuser'],
  ],
  [
    'password',
    /(?:thin:|(?:sqlplus|sqlcl|exp|imp|expdp|impdp|rman target)[ \t]{1,4}(?:-\w{1,8}[ \t]{1,4}){0,4})\w{1,40}\/(?<v>[^@\s"'/]{3,64})@/g,
    ['thin:', 'sqlplus', 'sqlcl', 'exp ', 'imp ', 'expdp', 'impdp', 'rman '],
  ],
  [
    'password',
    /^\[[\w.-]{1,255}\](?::\d{1,5})?[ \t]{1,16}[^\s:]{1,128}:(?<v>\S{3,256})$/gm,
    [']:', '[smtp', '[mail', '[relay'],
  ],
  [
    'password',
    /\b(?:create|alter|set|grant)\b[^\n;]{0,200}?\b(?:identified[ \t]{1,4}(?:with[ \t]{1,4}\S{1,40}[ \t]{1,4})?(?:by|as)|password)(?:[ \t]{1,4}for[ \t][^\n=;]{1,80})?[ \t]{0,4}=?[ \t]{0,4}(?:password\()?(?:'(?<v>[^'\n]{1,256})'|"(?<v2>[^"\n]{1,256})")/gi,
    ['identified', 'password'],
  ],
  [
    'password',
    /^[ \t]{0,16}(?:set |no )?[^\n"]{0,60}?\b(?:snmp-server community|(?:isakmp|tacacs-server|radius-server) key|key-string|pre-shared-(?:secret|key)(?: ascii-text| address \S{1,40} key)?)(?: \d)?[ \t]{1,8}"?(?<v>[^\s";]{3,256})/gm,
    ['snmp-server', 'isakmp', 'tacacs-', 'radius-', 'key-string', 'pre-shared-'],
  ],
  [
    'password',
    /\b(?:sqlcmd|bcp|isql|tsql)\b[^\n|;&]{0,160}?\s-P[ \t]{0,4}["']?(?<v>[^\s"']{3,128})/g,
    ['sqlcmd', 'bcp ', 'isql', 'tsql'],
  ],
  [
    'password',
    /^[ \t]{0,16}(?:r[ow]community6?|(?:trap|auth)community(?: [\w,]{1,40})?|com2sec6?[ \t]{1,8}(?:-Cn \S{1,40} )?\S{1,64}[ \t]{1,8}\S{1,64}|trap2?sink[ \t]{1,8}\S{1,64})[ \t]{1,8}(?!-)"?(?<v>[^\s"#]{3,256})/gm,
    ['community', 'com2sec', 'trapsink', 'trap2sink'],
  ],
  [
    'password',
    /^[ \t]{0,16}(?:ENV|ARG|setenv|SetEnv|setx|set -g?x|(?:fastcgi|uwsgi|scgi|grpc)_param|proxy_set_header|os\.environ)[ \t]{1,16}(?<n>[A-Za-z_][\w.-]{2,63})[ \t]{1,64}(?:"(?<v>[^"\n]{3,512})"|'(?<v2>[^'\n]{3,512})'|(?<v3>[^\s"';=][^\s"';]{2,511}));?[ \t]{0,16}\r?$/gm,
    ['env ', 'arg ', 'setenv', 'setx ', 'set -', '_param', 'proxy_set_header'],
  ],
  [
    'password',
    /(?<![\w-])-(?:(?:src|dest|new)?(?:key|store)?)pass(?:word)?[ \t]{1,4}["']?(?<v>[^\s"'<[-][^\s"']{3,255})/g,
    ['keypass', 'storepass'],
  ],
  ['password hash', /\b(?:set)?user \S{1,64} [^\n#]{0,400}?#(?<v>[0-9a-f]{64})(?!\w)/gi, ['user ']],
  [
    'token',
    /(?<![\w-])x-(?:amz|goog|oss|cos)-(?:signature|security-token)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?<v>[\w%.~+/=-]{20,4096})/gi,
    ['-signature', '-security-token'],
    true,
  ],
  [
    'password',
    /(?<![\w:/@.+-])(?!(?:sips?|mailto|xmpp|acct|im|turns?|stuns?|from|to|cc|e?mail)\b)[\w.-]{1,64}:(?<v>[^\s:@/"'<>]{4,128})@(?:(?:\d{1,3}\.){3}\d{1,3}|localhost|[\w.-]{1,128}:\d{2,5})(?![\w.])/gi,
    ['@'],
    true,
  ],
  ['password hash', /rpcauth=[^\s:]{1,64}:(?<v>[0-9a-f$]{16,200})/g, ['rpcauth=']],
  ['private key', /(?<![\w+/])(?<v>AQ[A-D][A-Za-z0-9+/]{35}==)/g, ['==']],
  // Sentences and lines of two words.
  [
    'password',
    /\b(?:password|passphrase|passcode|token|secret|api[ -]key)(?: (?:is|for|of|generated|set|changed|created|now|to)\b[^\n:='"]{0,60})?: ?(?<v>[^\s'"()[\]{}]{6,128})[ \t]{0,16}\r?$/gim,
    ['password', 'passphrase', 'passcode', 'token', 'secret', 'api key', 'api-key'],
    true,
  ],
  [
    'password',
    /^[ \t|]{0,16}(?<n>[A-Za-z_][\w.-]{2,48})[ \t]{1,64}(?:"(?<v>[^"\n]{3,512})"|(?<v2>[^\s"'|()[\]{}]{6,512}));?[ \t]{0,16}\r?$/gm,
    ['pass', 'secret', 'token', 'key', 'cred', 'psk'],
    true,
  ],
  // Names and values in separate members.
  [
    'password',
    /["']?(?:\b|_)(?:name|key|k|(?:Option|Variable|Setting|Secret|Parameter|Output|Tag)(?:Name|Key))["']?\s{0,4}[:=]\s{0,4}["']?(?<n>[\w.-]{2,64})(?:["']?,\s{0,40}|["']?\s{1,40})["']?(?:value|v|val|(?:Option|Variable|Setting|Secret|Parameter|Output|Tag)Value)["']?\s{0,4}[:=]\s{0,4}(?:"(?<v>[^"\n]{3,1024})"|'(?<v2>[^'\n]{3,1024})'|(?<v3>[^\s"',}>]{3,1024}))/gi,
    ['value'],
  ],
  [
    'password',
    /["'](?:value|v|val|(?:Option|Variable|Setting|Secret|Parameter|Output|Tag)Value)["']\s{0,4}:\s{0,4}(?:"(?<v>[^"\n]{3,1024})"|'(?<v2>[^'\n]{3,1024})')(?:,\s{0,40}|\s{1,40})["'](?:name|key|k|(?:Option|Variable|Setting|Secret|Parameter|Output|Tag)(?:Name|Key))["']\s{0,4}:\s{0,4}["'](?<n>[\w.-]{2,64})["']/gi,
    ['value"', "value'", '"v"', '"val"'],
  ],
  [
    'password',
    /<[\w:]{1,30}\b[^<>\n]{0,80}?\b(?:name|key|id)="(?<n>[\w.-]{2,64})"[^<>\n]{0,80}>\s{0,40}(?<v>[^<\s][^<\n]{1,1022})</gi,
    ['name="', 'key="', 'id="'],
  ],
  ['password', /<key>(?<n>[\w .-]{2,64})<\/key>\s{0,40}<string>(?<v>[^<\n]{3,1024})</g, ['<key>']],
];

const FORMATS = WRITTEN.map(([kind, shape, ...rest]) => [kind, new RegExp(shape, `${shape.flags}d`), ...rest] as const);

const JWK = '"kty"';
const SECRETS = ['kind: secret', 'kind": "secret', 'kind":"secret', "kind: 'secret", 'kind: "secret'];

/** The words that `formatSpans` needs to know about in a text. */
export const FORMAT_WORDS: readonly string[] = [...WRITTEN.flatMap(([, , needs]) => needs), JWK, ...SECRETS];

/** Returns where `text` has secrets in a format of a program. `words`: those of `FORMAT_WORDS` that it has. */
export function formatSpans(text: string, words: ReadonlySet<string>): SecretSpan[] {
  const spans: SecretSpan[] = [];
  for (const [kind, shape, needs, isChecked] of FORMATS) {
    if (needs.length > 0 && !needs.some((need) => words.has(need))) continue;
    for (const match of text.matchAll(shape)) spans.push(...valuesOf(kind, match, isChecked === true));
  }
  if (words.has(JWK)) spans.push(...jwkSpans(text));
  if (SECRETS.some((word) => words.has(word)))
    spans.push(...kubernetesSpans(text).map((part) => ({ ...part, kind: 'password' })));
  return spans;
}

function valuesOf(kind: string, { groups = {}, indices }: RegExpExecArray, isChecked: boolean): SecretSpan[] {
  const name = groups['n'];
  if (name !== undefined && !isSecretName(name.replaceAll(' ', ''))) return [];
  return Object.entries(groups).flatMap(([group, value]) => {
    const [start, end] = indices?.groups?.[group] ?? [0, 0];
    if (!group.startsWith('v') || value === undefined || isNone(value) || (isChecked && !isStrong(value))) return [];
    return [{ start, end, kind }];
  });
}

/** Whether it is a placeholder for a value. */
function isNone(value: string): boolean {
  return /^(?:\$\{?[A-Za-z_]\w*\}?|\$\(.*|<.*|\{\{.*|%.*%|\*+|x{3,}|null|none|true|false|required|requisite|optional|sufficient|string|undefined|‹.*)$/i.test(
    value,
  );
}

/** The private members of keys in JSON (RFC 7517). */
function jwkSpans(text: string): SecretSpan[] {
  const spans: SecretSpan[] = [];
  for (const match of text.matchAll(/"(?:d|p|q|dp|dq|qi|k)"\s{0,4}:\s{0,4}"(?<v>[\w-]{10,4096}={0,2})"/dg)) {
    const near = text.slice(Math.max(0, match.index - AROUND), match.index + match[0].length + AROUND);
    if (spans.length < MOST && near.includes('"kty"')) spans.push(...valuesOf('private key', match, false));
  }
  return spans;
}
