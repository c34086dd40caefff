/**
 * Shapes of tokens whose makers gave them one. Facts (prefix, alphabet, length) from the default rules of gitleaks
 * (github.com/gitleaks/gitleaks, config/gitleaks.toml at 009e025, MIT licence), those of its rules that have a prefix
 * of their own, and from the documents of the makers for what is missing there.
 *
 * A form is literal text, and in brackets characters: the alphabet, and the least number (`<w36>`: 36 or more).
 */
const FORMS: readonly (readonly [kind: string, forms: string])[] = [
  ['aws key', 'AKIA<U16> ASIA<U16> ABIA<U16> ACCA<U16> A3T<U17> ABSK<b100> bedrock-api-key-<b20> amzn.mws.<x8>-<h23>'],
  ['github token', 'ghp_<w20> gho_<w20> ghu_<w20> ghs_<w20> ghr_<w20> github_pat_<i20>'],
  [
    'gitlab token',
    `
      glpat-<u16> glrt-<u16> gldt-<u16> glcbt-<u16> glptt-<u16> glft-<u16> glffct-<u16> glimt-<u16>
      glagent-<u16> gloas-<u16> glsoat-<u16> glwt-<u16> GR1348941<u16>
    `,
  ],
  [
    'slack token',
    `
      xoxa-<u10> xoxb-<u10> xoxc-<u10> xoxd-<q10> xoxe-<u10> xoxo-<u10> xoxp-<u10> xoxr-<u10> xoxs-<u10>
      xoxe.xox<u20> xapp-<u20> xwfp-<u20>
    `,
  ],
  ['google token', 'AIza<u30> ya29.<t20> GOCSPX-<u20> 1//0<u30>'],
  ['azure token', 'SharedAccessSignature=<t40>'],
  // Payment.
  [
    'api key',
    `
      sk_live_<w10> sk_test_<w10> sk_prod_<w10> rk_live_<w10> rk_test_<w10> rk_prod_<w10> whsec_<b20>
      sq0atp-<u22> sq0csp-<u22> sq0idp-<u22> EAAA<u40> EAAC<w40> EAAM<w40> EAAB<w40> EAAG<w40> IGQV<u40>
      shpat_<w20> shpca_<w20> shppa_<w20> shpss_<w20> access_token$production$<w16>$ access-production-<h30>
      access-sandbox-<h30> access-development-<h30> FLWSECK_TEST-<w12> FLWSECK-<w12> duffel_live_<t20>
      duffel_test_<t20> shippo_live_<w20> shippo_test_<w20> EZAK<w54> EZTK<w54> live_pub_<x31> test_pub_<x31>
    `,
  ],
  // Models of language.
  [
    'api key',
    `
      sk-<w20> sk-proj-<u16> sk-svcacct-<u16> sk-admin-<u16> sk-ant-<u16> sk-or-v1-<w20> sk-lf-<u20> gsk_<w20>
      xai-<w20> pplx-<w20> hf_<w20> api_org_<w20> r8_<w20> nvapi-<u20> tgp_v1_<u20> fw_<w20> rpa_<w30>
      lsv2_pt_<u20> lsv2_sk_<u20> csk-<w20> pcsk_<i30> jina_<w30> tvly-<u20> sk_or_<w20> phx_<w30>
    `,
  ],
  // Where code and its parts are kept.
  [
    'api key',
    `
      npm_<w20> pypi-AgE<u16> pypi-<w40> rubygems_<w20> oy2<l43> CLOJARS_<w20> cio<w32> dckr_pat_<u20>
      dckr_oat_<u20> ATATT3<t20> ATCTT3<t20> ATSTT3<t20> ATBB<w20> BBDC-<b20> AKCp<w50> cmVmd<w50> sgp_<i20>
      lin_api_<w20> lin_oauth_<w20> figd_<u20> figu_<u20> PMAK-<u20> rdme_<w20> API-<U26> squ_<x40> sqp_<x40>
      sqa_<x40> snyk_uat.<t20> sm_aat_<w16> sm_pat_<w16> sm_sat_<w16> bkua_<x40> CCIPAT_<i20> CCIPRJ_<i20>
    `,
  ],
  // Machines and networks.
  [
    'api key',
    `
      dop_v1_<w20> doo_v1_<w20> dor_v1_<w20> tskey-<u16> nbp_<w30> fo1_<u20> fm1a_<b20> fm1r_<b20> fm2_<b20>
      HRKU-<u20> nfp_<w20> nfc_<w20> vcp_<w20> vca_<w20> vck_<w20> rnd_<w20> tk-us-<u20> sbp_<w20>
      sb_secret_<u20> pscale_tkn_<t20> pscale_oauth_<t20> pscale_pw_<t20> napi_<w40> dapi<x30> dose<x30>
      pul-<x20> hcp.<t20> LTAI<w16> AKID<w32> AQVN<u35> t1.9eu<t60> dnkey-<t60> ico-<w32> v1.0-<x24>-<x100>
      cfut_<u30> cfat_<u30> cfk_<u30> sha256~<u43> pnu_<w30> pnb_<w30>
    `,
  ],
  // Secrets and identities.
  [
    'token',
    `
      hvs.<u20> hvb.<u20> hvr.<u20> dp.pt.<w20> dp.st.<t20> dp.ct.<w20> dp.sa.<w20> dp.scim.<w20>
      dp.audit.<w20> ops_eyJ<b20> A3-<U6>-<S20> AGE-SECRET-KEY-1<U20> RWRTY0Iy<b40> SWMTKN-1-<u40> AGE-PLUGIN-<S40> nsec1<l50> xprv<w80>
      yprv<w80> zprv<w80> infisical_<u20>
    `,
  ],
  // Mail, messages and numbers.
  [
    'api key',
    `
      SG.<u16>.<u16> xkeysib-<u20> xsmtpsib-<u20> key-<x30> re_<w8>_<w20> mlsn.<w20> SK<x32> sl.<t100>
      secret_<w40> ntn_<w20> tfp_<t20> fio-u-<t20> patE<w13>.<x40> mfa.<u60> OTk<u20>.<u6>.<u27>
    `,
  ],
  // Watching.
  [
    'api key',
    `
      glc_<b20> glsa_<i20> eyJrIjoi<b40> eyJhIjoi<b20> sntrys_<t20> sntryu_<w20> NRAK-<w20> NRII-<u20> NRRA-<w20> NRJS-<w16>
      dt0c01.<t20> dt0s16.<t20> dt0s01.<t20> hny<w20>_ik hcaik_<w20> hcamk_<w20>
    `,
  ],
  ['jwt', 'eyJ<u8>.<u4>.<u0>'],
  // Hashes of passwords, which can be attacked offline.
  [
    'password hash',
    `
      {SSHA}<b20> {SHA}<b20> {SSHA256}<b20> {SSHA512}<b20> {SHA256}<b20> {SHA512}<b20> {SMD5}<b20> {MD5}<b20>
      {CRYPT}<P10> {crypt}<P10> {PBKDF2}<P20> {PBKDF2-SHA512}<P20> {PBKDF2_SHA256}<P20> {BCRYPT}<P20>
      {BLF-CRYPT}<P20> {SHA512-CRYPT}<P20> {SHA256-CRYPT}<P20> {ARGON2}<P20> {ARGON2ID}<P20> {ARGON2I}<P20>
      {SCRAM-SHA-256}<P20> {PLAIN}<p3> {CLEARTEXT}<p3> SCRAM-SHA-256$<P30> SCRAM-SHA-1$<P30>
      SCRAM-SHA-512$<P30> pbkdf2_sha256$<P20> pbkdf2_sha1$<P20> pbkdf2_sha512$<P20> pbkdf2:sha<P30>
      scrypt:<P40> bcrypt_sha256$<P20> bcrypt$<P20> argon2$<P20> scrypt$<P20> sha1$<P40> grub.pbkdf2.<t60>
      PBKDF2$sha<P30> md5<x32>
    `,
  ],
];

const ALPHABETS: Readonly<Record<string, string>> = {
  w: 'A-Za-z0-9',
  /** As in an identifier. */
  i: 'A-Za-z0-9_',
  /** As in a URL. */
  u: 'A-Za-z0-9_-',
  /** Base64. */
  b: 'A-Za-z0-9+/=_-',
  t: 'A-Za-z0-9_.=~+/-',
  /** The same in a URL. */
  q: 'A-Za-z0-9_.=~+/%-',
  d: '0-9',
  x: '0-9a-f',
  X: '0-9A-Fa-f',
  h: '0-9a-f-',
  l: 'a-z0-9',
  U: 'A-Z0-9',
  S: 'A-Z0-9-',
  P: 'A-Za-z0-9+/=.,:$_-',
  /** A password as it is. */
  p: '!-~',
};

/** A longer one is not a token; every form takes a fixed number of steps for each character. */
const LONGEST = 4096;

const PART = /<(\w)(\d+)>/;

interface Shape {
  readonly kind: string;
  readonly shape: RegExp;
}

/** The shapes by the text that they begin with. */
const BY_PREFIX: ReadonlyMap<string, readonly Shape[]> = shapesByPrefix();

function shapesByPrefix(): Map<string, Shape[]> {
  const found = new Map<string, Shape[]>();
  for (const [kind, forms] of FORMS) {
    for (const form of forms.trim().split(/\s+/)) {
      const at = form.search(PART);
      const prefix = form.slice(0, at);
      const shape = new RegExp(pattern(form.slice(at)), 'y');
      found.set(prefix, [...(found.get(prefix) ?? []), { kind, shape }]);
    }
  }
  return found;
}

function pattern(form: string): string {
  const parts = form.split(/(<\w\d+>)/);
  return parts
    .map((part) => {
      const [, alphabet = '', least] = PART.exec(part) ?? [];
      return least === undefined ? escaped(part) : `[${ALPHABETS[alphabet]}]{${least},${LONGEST}}`;
    })
    .join('');
}

/** Where a token may begin: at the start of a word, and after a line break as an escape in a string. */
const TOKEN_BEGIN = String.raw`(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))`;

const PREFIX = new RegExp(`${TOKEN_BEGIN}${trie([...BY_PREFIX.keys()])}`, 'g');

/** Returns where `text` has tokens by their shape, in order; looks at each character a fixed number of times. */
export function shapedTokens(text: string): { readonly start: number; readonly end: number; readonly kind: string }[] {
  const spans: ReturnType<typeof shapedTokens> = [];
  PREFIX.lastIndex = 0;
  for (let match = PREFIX.exec(text); match !== null; match = PREFIX.exec(text)) {
    const [start, behind] = [match.index, PREFIX.lastIndex];
    for (const { kind, shape } of BY_PREFIX.get(match[0]) ?? []) {
      const end = endOf(shape, text, behind);
      if (end === undefined || !isRandom(kind, text.slice(behind, end)) || isInBase64(text, start, match[0])) continue;
      PREFIX.lastIndex = end;
      spans.push({ start, end, kind });
      break;
    }
  }
  return spans;
}

/**
 * Returns where a token ends that continues at `behind`, also in the next lines, if the width of a terminal has broken
 * it.
 */
function endOf(shape: RegExp, text: string, behind: number): number | undefined {
  shape.lastIndex = behind;
  const whole = shape.test(text) ? shape.lastIndex : undefined;
  if (whole !== undefined && !isBroken(text, whole)) return whole;
  const part = text.slice(behind, behind + LONGEST_BROKEN);
  if (!/^[^\s"'<>]{0,200}\r?\n/.test(part)) return whole;
  const joined = part.replace(BREAK, '');
  shape.lastIndex = 0;
  if (!shape.test(joined)) return whole;
  let [left, at] = [shape.lastIndex, 0];
  while (left > 0) {
    BREAK_HERE.lastIndex = at;
    if (BREAK_HERE.test(part)) at = BREAK_HERE.lastIndex;
    else [left, at] = [left - 1, at + 1];
  }
  return behind + at;
}

/** A line break within a token, which a shell may continue after a backslash. */
const BREAK = /\\?\r?\n/g;
const BREAK_HERE = /\\?\r?\n/y;
const LONGEST_BROKEN = 600;

/** Whether a line ends there that is so long that a terminal may have broken it, and the next is one word. */
function isBroken(text: string, end: number): boolean {
  if (!/^\r?\n/.test(text.slice(end, end + 2)) || end < 64 || text.slice(end - 64, end).includes('\n')) return false;
  return /^\r?\n(?=\S*\d)[^\s"'<>:]+(?:\r?\n|$)/.test(text.slice(end, end + LONGEST_BROKEN));
}

/** Words have no digits, and no mixed upper and lower case. */
function isRandom(kind: string, rest: string): boolean {
  return (
    kind === 'password hash' || /\d/.test(rest) || (/[a-z]/.test(rest) && /[A-Z]/.test(rest) && /[a-z][A-Z]/.test(rest))
  );
}

/** `EAAA` is what some zeros are in Base64. */
function isInBase64(text: string, start: number, prefix: string): boolean {
  return prefix.startsWith('EAA') && /[+/]/.test(text[start - 1] ?? '');
}

/** `text` as a regular expression that matches nothing else. */
function escaped(text: string): string {
  return text.replace(/[$^.*+?()[\]{}|/\\-]/g, '\\$&');
}

/** The prefixes as one expression, which looks at each character of a text once: `g(?:h(?:p_|o_)|lpat-)`. */
function trie(words: readonly string[]): string {
  const byFirst = new Map<string, string[]>();
  for (const word of words) {
    const first = word.slice(0, 1);
    byFirst.set(first, [...(byFirst.get(first) ?? []), word.slice(1)]);
  }
  const parts = [...byFirst].map(([first, rests]) =>
    rests.length === 1
      ? escaped(first + rests[0])
      : `${escaped(first)}${trie(rests.filter((rest) => rest !== ''))}${rests.includes('') ? '?' : ''}`,
  );
  return parts.length === 1 ? `(?:${parts[0]})` : `(?:${parts.join('|')})`;
}

/** Finds which of some words are in a text, in upper or lower case, by looking at each of its characters once. */
export class WordFinder {
  readonly #shape: RegExp;
  /** What else is found with a word: the words that it begins with. */
  readonly #known: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[]) {
    const all = [...new Set(words)];
    this.#shape = new RegExp(trie(all), 'g');
    this.#known = new Map(all.map((word) => [word, all.filter((other) => word.startsWith(other))]));
  }

  /** Returns the words in `text`, each of which must be in small letters. */
  wordsIn(text: string): ReadonlySet<string> {
    const found = new Set<string>();
    const low = text.toLowerCase();
    const shape = this.#shape;
    shape.lastIndex = 0;
    for (let match = shape.exec(low); match !== null; match = shape.exec(low)) {
      for (const word of this.#known.get(match[0]) ?? []) found.add(word);
      shape.lastIndex = match.index + 1;
    }
    return found;
  }
}
