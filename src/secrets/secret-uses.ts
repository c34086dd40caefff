import type { SyntaxNode, Word, WordPart } from 'unbash';
import { isSecretName } from './secret-assignments.ts';
import { invokedBy, kindOf } from './secret-input.ts';

/** A variable, as a shell, `make` and some languages write it. */
const USE = /\$(?:[{(][#!]?)?([A-Za-z_]\w*)/g;

/** Returns where a text uses the variables of secrets. */
export function usesOf(text: string): number[] {
  return [...text.matchAll(USE)].filter(({ 1: name = '' }) => isSecretName(name)).map(({ index }) => index);
}

/** Uses of a variable without its name after a dollar, or with its value as a program. */
const HIDDEN_USE =
  /\$\{!|\w\\\r?\n\w|(?<![\w.-])(?:printenv|compgen|complete|let)(?![\w-])|(?<![\w.-])(?:set|env|export|declare)(?:\s-p)?\s{0,4}[|>)]|(?:environ|ENVIRON|getenv|process\.env|[$%]_?ENV|ENV(?=\[))(?!(?:\[["']\w{1,64}["']\]|\.\w{1,64})\s{0,4}=[^=])|\(\(|\$\[|\s-(?:eq|ne|lt|le|gt|ge)\s|(?:\[|(?<![\w.-])test)\s[^;|&\n]{0,200}?-v\s|(?<![\w.-])(?:declare|typeset|local|readonly|export)\s(?:[^;|&\n]{0,200}?\s)?-\w{0,16}[inp]/;
/** The output is passed to another program or a file. */
const GOES_ON = /[|>`]|\$\(|<\(/;

/** Whether a variable of a secret may be used in another way. */
export function isUsedHidden(cmd: string): boolean {
  return HIDDEN_USE.test(cmd);
}

/** The program that a shell finds may differ from its name, or run the last word again. */
const DISGUISES =
  /\$\{?[#!]?_(?!\w)|BASH_(?!SOURCE|VERSION)|(?<![\w$/{])PATH(?!\w)|\$\{PATH:?=|(?<!\w)LD_[A-Z]|(?<![\w.-])(?:chroot|nsenter|unshare)(?![\w-])|(?<![\w.-])cd\s[^;|&\n]{0,300}?\/s?bin(?!\w)|command_not_found_handle|(?<!\w)set\s+[-+]\w*[Hk]|(?<![\w-])histexpand/;
/** A program of this name that is not the one of the system: `./kinit`. */
const FOREIGN =
  /(?:^|[\s;&|()`"'!{])(?!\/(?:usr\/)?s?bin\/[^\s/]{1,64}(?![^\s;&|()`"'<>]))[^\s;&|()`"'<>=:]{0,200}\/(?:sudo|env|sshpass|curl|k?passwd|ch?g?passwd|newusers|smbpasswd|kinit|cryptsetup|vncpasswd|ldap\w+|pdbedit|systemd-ask-password|openssl|mkpasswd|htpasswd|vault|docker|podman|nerdctl|helm|gh|gcloud|secret-tool|pass|wg|npm|git|gpg2?|mysql\w*|redis-cli|cat|tee|echo|printf)(?=[\s;&|()`"'<>]|$)/;
/** They put a program where a shell looks for one. */
const PUTS_PROGRAM =
  /(?<![\w.-])(?:cp|ln|mv|install|tee|mount|rsync|dd|chmod)\s[^;|&\n]{0,300}?\/s?bin(?!\w)|>\s{0,4}["']?[^\s;|&]{0,200}\/s?bin\//;

/** Whether a program may differ from its name. */
export function isDisguised(cmd: string): boolean {
  // `"PA"TH=/dir`, `./ki"nit"`
  const texts = [cmd, cmd.replace(/["'\\]/g, '')];
  const isTold = texts.some((text) => DISGUISES.test(text) || FOREIGN.test(text) || PUTS_PROGRAM.test(text));
  return isTold || isWrittenAndRun(cmd);
}

const WRITES =
  /(?:(?<![<&=-])>{1,2}\|?\s{0,4}|(?<![\w-])tee\s{1,4}(?:-a\s{1,4})?|(?<!\w)of=|(?<![\w-])(?:-\w{0,8}o|--output)[\s=]{1,4})["']?([^\s;&|<>()"'`]{1,200})/g;
const KEEPS =
  /(?:^|[;&\n])\s{0,8}(?:sudo\s{1,4})?(?:chmod\s{1,4}[0-6]{3,4}|chown\s{1,4}[\w.:-]{1,64}|cat|ls|rm|stat|wc)(?:\s{1,4}-\w{1,8})?\s{1,4}[^\s;&|<>()"'`$]{1,200}\s{0,8}(?=[;&\n]|$)/g;

/** Whether a written file is named again, for another purpose than to be kept or shown. */
function isWrittenAndRun(cmd: string): boolean {
  const written = [...cmd.matchAll(WRITES)].map(({ 1: path = '' }) => path).filter((path) => !path.startsWith('/dev/'));
  if (written.length === 0) return false;
  const rest = cmd.replace(KEEPS, '\n');
  if (!RUNS_FILE.test(rest)) return false;
  return written.length > MOST_WRITTEN || written.some((path) => isNamedTwice(rest, path.replace(/^.*\//, '')));
}

const MOST_WRITTEN = 64;

function isNamedTwice(text: string, name: string): boolean {
  const parts = text.split(name);
  const named = parts.slice(1).filter((after, index) => !/\w$/.test(parts[index] ?? '') && !/^\w/.test(after));
  return named.length > 1;
}

/** A shell or a language gets a file, or a program is named by its path. */
const RUNS_FILE =
  /(?<![\w.-])(?:\w{0,4}sh|busybox|source|perl|python[\d.]*|ruby|node|bun|php|tclsh|lua|make|[gm]?awk|sed|git|gdb|env|xargs|run-parts|crontab|at)(?![\w-])|(?:^|[\s;&|(])(?:\.\s|(?:\.{0,2}|~|\$\w+)\/)/;

/** A document is passed to something else than a file. */
const LEAVES = /\||>\(|>&|`|\$\(|<\(|(?<![\w.-])(?:coproc|ssh)(?![\w-])|\/(?:etc\/cron|dev\/|proc\/)/;
const IS_SETTING = /(?:^|\n)\s{0,16}[\w.-]{1,100}\s?[=:]\s?["']?$/;

const VALUED = /^(?:-[uUHbdF]|--(?:user|proxy-user|header|cookie|data|data-raw|data-urlencode|form))$/;
const OPTION_IS = /^--[\w-]*(?:password|passphrase|token|secret|key)=/;
const PLAIN =
  /^(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|wget|curl|helm|gcloud|aws|redis-cli|smbclient|gh|restic|borg)$/;
const MYSQL = /^(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)$/;
const TESTS = /^(?:\[|test|:|true)$/;

/** Returns where variables of secrets are used that no program can run. */
export function harmlessUses(node: SyntaxNode, text: string, isFunction: (name: string) => boolean): number[] {
  switch (node.type) {
    case 'TestBinary':
      return /^(?:==?|!=|=~)$/.test(node.operator) ? [node.left, node.right].flatMap(expansions) : [];
    case 'TestUnary':
      return /^-[nz]$/.test(node.operator) ? expansions(node.operand) : [];
    case 'Case':
      return expansions(node.word);
    case 'Pipeline':
      return node.commands.flatMap((one, index) => {
        const from = node.commands[index - 1];
        const kind = from === undefined ? undefined : kindOf(one, isFunction);
        if (from?.type !== 'Command' || (kind !== 'whole' && kind !== 'pairs')) return [];
        return /^(?:echo|printf)$/.test(from.name?.value ?? '') && from.redirects.length === 0
          ? from.args.flatMap((word) => (word.type === 'Word' ? expansions(word) : []))
          : [];
      });
    case 'Command':
      break;
    default:
      return [];
  }
  const invoked = invokedBy(node, isFunction);
  const [outer] = invoked;
  const last = invoked.at(-1);
  if (outer === undefined || last === undefined) return [];
  const kind = kindOf(node, isFunction);
  const reads = kind === 'whole' || kind === 'pairs';
  const keeps = /^(?:cat|tee)$/.test(last.name) && !LEAVES.test(text);
  const read = node.redirects.flatMap((one) => {
    if (one.type === 'HereString' && reads) return one.target === undefined ? [] : expansions(one.target);
    if (one.type !== 'HereDoc' || !(reads || keeps)) return [];
    return expansions(one.body).filter((at) => reads || IS_SETTING.test(text.slice(Math.max(0, at - 200), at)));
  });
  const prints = /^(?:echo|printf)$/.test(outer.name) && !GOES_ON.test(text);
  if (TESTS.test(outer.name) || prints) return [...read, ...outer.words.flatMap(expansions)];
  const given = last.words.flatMap((word, index) => {
    const raw = text.slice(word.pos, word.end);
    if (/^(?:jq|yq)$/.test(last.name) && raw.startsWith("'")) return usesOf(raw).map((at) => word.pos + at);
    // `$password = "x"` of a language names it, and uses nothing.
    if (/^(?:perl|php)$/.test(last.name) && raw.startsWith("'"))
      return usesOf(raw).flatMap((at) => (/^\$\w+\s{0,4}=[^=~]/.test(raw.slice(at)) ? [word.pos + at] : []));
    // A word without quotes may become options.
    const isOne = !(word.parts ?? []).some(({ type }) => /Expansion$/.test(type));
    const isValue =
      (last.name === 'curl' && (VALUED.test(last.args[index - 1] ?? '') || /^["']?https?:\/\//.test(raw))) ||
      (PLAIN.test(last.name) && OPTION_IS.test(raw.replace(/^"/, ''))) ||
      (MYSQL.test(last.name) && /^"?-p/.test(raw));
    return isOne && isValue ? expansions(word) : [];
  });
  // `sshpass -p "$PASSWORD"`
  const passed = outer.name === 'sshpass' && outer.args[0] === '-p' && outer.words[1] !== undefined;
  const first = passed ? outer.words.slice(1, 2).filter(({ parts }) => parts?.[0]?.type === 'DoubleQuoted') : [];
  return [...read, ...given, ...first.flatMap(expansions)];
}

function expansions({ parts = [] }: Pick<Word, 'parts'>): number[] {
  const inner = parts.flatMap((part): WordPart[] => (part.type === 'DoubleQuoted' ? [...part.parts] : [part]));
  return inner.flatMap(({ type, pos }) => (/^(?:Simple|Parameter)Expansion$/.test(type) ? [pos] : []));
}
