import type { Word } from 'unbash';
import type { Told } from '../shell/places.ts';
import { isSecretName } from './secret-assignments.ts';
import { type Invoked, literals } from './secret-input.ts';

/** The word that is a secret, and from which of its characters on. */
interface Place {
  readonly index: number;
  readonly from?: number;
}

type Find = (args: readonly string[]) => readonly Place[];

/** The word after one of these options, or the text joined to a short one. */
function option(names: RegExp): Find {
  return (args) =>
    args.flatMap((arg, index) => {
      if (names.test(arg)) return [{ index: index + 1 }];
      const letters = /^-[A-Za-z](?=[^-=])/.exec(arg)?.[0] ?? '';
      return letters !== '' && names.test(letters) && !arg.startsWith('--') ? [{ index, from: letters.length }] : [];
    });
}

/** So many words after a word. */
function behind(word: RegExp, ...steps: readonly number[]): Find {
  return (args) => {
    const at = args.findIndex((arg) => word.test(arg));
    return at === -1 ? [] : steps.map((step) => ({ index: at + step }));
  };
}

/** The words that are not options; `valued` options take the next word. */
function operands(valued: RegExp, first: number, last = first + 1): Find {
  return (args) =>
    args
      .flatMap((arg, index) => (arg.startsWith('-') || valued.test(args[index - 1] ?? '') ? [] : [{ index }]))
      .slice(first, last);
}

const NO_VALUED = /(?!)/;

/** The text after `sign` in each word that has it. */
function behindSign(sign: RegExp): Find {
  return (args) =>
    args.flatMap((arg, index) => {
      const found = sign.exec(arg);
      return found === null ? [] : [{ index, from: found.index + found[0].length }];
    });
}

/** Only if the words match `about`. */
function where(about: RegExp, ...finds: readonly Find[]): Find {
  return (args) => (about.test(args.join(' ')) ? finds.flatMap((find) => find(args)) : []);
}

/** The value of a setting: `config set NAME value`. */
const setting: Find = (args) =>
  args.flatMap((arg, index) => {
    const name = arg.replace(/^.*[.:/]/, '');
    const isSetting = !arg.startsWith('-') && (isSecretName(name) || /^_auth\w*$/i.test(name));
    return isSetting ? [{ index: index + 1 }] : [];
  });

const NAME_AND_VALUE = /^[\w.-]+=(?!@)/;

/** Programs whose words are secrets by their position. */
const ROWS: readonly (readonly [programs: RegExp, ...finds: readonly Find[]])[] = [
  [/^gpg2?$/, option(/^--passphrase$/), behindSign(/^--passphrase=/)],
  [/^openssl$/, option(/^-[kK]$/), behindSign(/^pass:/)],
  [/^openssl$/, where(/^passwd /, operands(/^-(?:salt|in|rand|writerand|provider|provider-path)$/, 1, 9))],
  [/^mkpasswd$/, operands(/^-[mSRP]$|^--(?:method|salt|rounds|password-fd)$/, 0)],
  [/^(?:user|group)(?:add|mod)$|^adduser$/, option(/^-p$|^--password$/)],
  [/^rabbitmqctl$/, behind(/^(?:add_user|change_password|authenticate_user)$/, 2)],
  [
    /^vault$/,
    where(/^(?:login|unwrap|operator unseal) (?!.*-method)/, (args) =>
      operands(NO_VALUED, args[0] === 'operator' ? 2 : 1)(args),
    ),
    where(/^kv (?:put|patch) /, behindSign(NAME_AND_VALUE)),
  ],
  [/^(?:redis|valkey|keydb)-cli$/, behind(/^auth$/i, 1, 2)],
  [/^keyctl$/, where(/^(?:add|update) /, behind(/^add$/, 3), behind(/^update$/, 2))],
  [/^(?:ipmitool|mosquitto_\w+|sqlcmd|bcp|isql|tsql|mssql-cli)$/, option(/^-P$/)],
  [/^snmp\w+$/, option(/^-[cAX]$/)],
  [/^cqlsh$/, option(/^-p$/)],
  [/^(?:kadmin|kadmin\.local)$/, option(/^-w$/)],
  [/^ssh-keygen$/, option(/^-[NP]$/)],
  [/^pdf\w+$|^qpdf$/, option(/^-[uo]pw$/)],
  [/^lftp$/, where(/-u/, behindSign(/^[\w.@-]+,/))],
  [/^(?:sqlplus|sqlcl|exp|imp|expdp|impdp|rman)$/, behindSign(/^\w+\/(?=[^/@]+@)/)],
  [/^(?:[xw]l?freerdp\d?|rdesktop)$/, behindSign(/^\/p:/), option(/^-p$/)],
  [/^(?:npm|pnpm|yarn)$/, where(/(?:^| )config set |^set /, setting)],
  [/^git$/, where(/(?:^| )config /, setting)],
  [/^kubectl$|^oc$/, behindSign(/^--from-literal=[^=]+=/), (args) => fromLiteral(args)],
  [/^aws$/, where(/SecureString/, option(/^--value$/), behindSign(/^--value=/))],
  [
    /^(?:az|gh|glab|fly|flyctl|doppler|heroku|wrangler|infisical|supabase)$/,
    where(/(?:^| )secrets? set /, option(/^(?:--value|--body|-b)$/), behindSign(/^(?:--(?:value|body)|[\w.-]+)=/)),
  ],
  [/^mysqladmin$/, behind(/^password$/, 1)],
  [/^bw$/, where(/^unlock /, operands(NO_VALUED, 1)), where(/^login /, operands(NO_VALUED, 2))],
  [/^rclone$/, behind(/^obscure$/, 1)],
  [/^caddy$/, where(/^hash-password /, option(/^(?:--plaintext|-p)$/))],
  [/^mc(?:li)?$/, where(/^alias set /, operands(NO_VALUED, 4, 6))],
  [/^ngrok$/, behind(/authtoken$/, 1)],
  [/^cloudflared$/, behind(/^(?:install|--token)$/, 1)],
  [/^steamcmd$/, behind(/^\+login$/, 2)],
  [/^https?$|^xhs?$/, where(/(?:^| )(?:-a|--auth) /, behindSign(/^[\w.@-]+:(?!\/)/))],
  [/^curl$/, cookies],
  [/^jq$|^yq$/, named(/^--arg(?:json)?$/, 1)],
  [/^crudini$/, named(/^--set$/, 3)],
  [/^smbclient$/, where(/^\/\/|^\\\\/, operands(/^-[UWAIptnsmcD]$/, 1))],
  [/^ncftp\w+$/, option(/^-p$/)],
  [/^sed$/, (args) => substituted(args)],
];

/** The values of cookies, in the word after an option. */
function cookies(args: readonly string[]): readonly Place[] {
  return args.flatMap((arg, index) =>
    /^(?:-b|--cookie)$/.test(args[index - 1] ?? '') && arg.includes('=') ? [{ index, from: arg.indexOf('=') + 1 }] : [],
  );
}

/** The word after the name of a secret, `steps` after an option. */
function named(names: RegExp, steps: number): Find {
  return (args) =>
    args.flatMap((arg, index) =>
      names.test(arg) && isSecretName(args[index + steps] ?? '') ? [{ index: index + steps + 1 }] : [],
    );
}

function fromLiteral(args: readonly string[]): readonly Place[] {
  return args.flatMap((arg, index) =>
    args[index - 1] === '--from-literal' ? [{ index, from: arg.indexOf('=') + 1 }] : [],
  );
}

/** `s/^PASSWORD=old/PASSWORD=value/`, unless sed runs the result. */
function substituted(args: readonly string[]): readonly Place[] {
  return args.flatMap((arg, index) => {
    const found = SUBSTITUTION.exec(arg);
    return found === null || !isSecretName(found[2] ?? '') ? [] : [{ index, from: found[0].length }];
  });
}

/** Up to the value; only the flags after it that run nothing. */
const SUBSTITUTION =
  /^s([/|#,@!:~])(?:(?!\1)[^\\\n]|\\.){0,400}\1(?:(?!\1)[^\n\w.-])*([\w.-]{2,64})["']?\s?[:=]\s?["']?(?=(?:(?!\1)[^\n])+\1[gIipm\d]*$)/;

/** The words that `printf 'TOKEN=%s'` puts after the name of a secret. */
function formatted([format = '', ...values]: readonly string[]): number[] {
  const directives = [...format.matchAll(/(?:([\w.-]{2,64})["']?\s?[:=]\s?["']?)?%[-\d.]{0,8}[sbdq]/g)];
  if (directives.length === 0) return [];
  return values.flatMap((_, index) => {
    const [, name = ''] = directives[index % directives.length] ?? [];
    return isSecretName(name.replace(/^n(?=[A-Z])/, '')) ? [index + 1] : [];
  });
}

/** Returns the words of a program that are secrets by their position. */
export function secretArguments({ name, args, words }: Invoked): Told[] {
  if (name === 'printf' && args[0] === '-v') {
    const isSecret = isSecretName((args[1] ?? '').replace(/\[.*/, ''));
    return isSecret ? words.slice(2).flatMap((word) => told(word, 0, true)) : [];
  }
  if (name === 'printf') return formatted(args).flatMap((index) => toldIn(words, index));
  return ROWS.filter(([programs]) => programs.test(name))
    .flatMap(([, ...finds]) => finds.flatMap((find) => find(args)))
    .flatMap(({ index, from = 0 }) => {
      const word = words[index];
      return word === undefined || (from === 0 && args[index]?.startsWith('-') === true) ? [] : told(word, from, false);
    });
}

function toldIn(words: readonly Word[], index: number): Told[] {
  const word = words[index];
  return word === undefined ? [] : told(word, 0, false);
}

/** Returns the literal parts of a word, from one of its characters on. */
function told(word: Word, from: number, isValue: boolean): Told[] {
  let left = from;
  return literals(word).flatMap(({ pos, end }) => {
    const skipped = Math.min(left, end - pos);
    left -= skipped;
    return end - pos > skipped ? [{ pos: pos + skipped, end, isValue, isArgument: true }] : [];
  });
}
