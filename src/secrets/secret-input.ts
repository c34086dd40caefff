import type { Command, CommandNode, ParsedScript, Pipeline, Redirected, Redirection, Word } from 'unbash';
import { type Invocation, isTooDeep } from '../shell/parse.ts';
import type { Told } from '../shell/places.ts';
import { innerOf } from '../shell/programs.ts';
import { argumentText, type Text } from '../shell/words.ts';
import { WRAPPERS } from '../shell/wrappers.ts';
import { isSecretName } from './secret-assignments.ts';

/** A program that a command runs, by itself or through another. */
export interface Invoked {
  readonly name: string;
  readonly args: readonly string[];
  /** Its words, as they are written. */
  readonly words: readonly Word[];
  /** Whether it is named by its path. */
  readonly isPath: boolean;
  /** Whether it may run a part of its words, or what it reads. */
  readonly runs: boolean;
}

/** Returns the programs of a command, outer ones first: `sudo`, `passwd`. */
export function invokedBy(node: Command, isFunction: (name: string) => boolean): readonly Invoked[] {
  if (node.name === undefined || isFunction(node.name.value)) return [];
  const words = new Map<Text, Word>();
  for (const word of [node.name, ...node.args]) if (word.type === 'Word') words.set(argumentText(word), word);
  const [name, ...args] = [...words.keys()];
  return through({ name, args }, words, 0);
}

function through(invocation: Invocation, words: ReadonlyMap<Text, Word>, depth: number): Invoked[] {
  const { name, args } = invocation;
  if (name?.isKnown !== true || isTooDeep(depth)) return [];
  const { invocations = [], scripts = [], unreadable, runs } = innerOf(invocation);
  const program = name.text.replace(/^.*\//, '');
  const one = {
    name: program,
    args: args.map(({ text }) => text),
    words: args.flatMap((arg) => words.get(arg) ?? []),
    isPath: program !== name.text,
    runs: unreadable !== undefined || scripts.length > 0 || runs !== undefined,
  };
  if (one.words.length !== args.length) return [];
  return [
    one,
    ...(WRAPPERS[program] === undefined ? [] : invocations.flatMap((inner) => through(inner, words, depth + 1))),
  ];
}

/** Returns the literal parts of a word, without their quotes, up to the first that names files. */
export function literals({ pos, end: last, parts }: Word): { readonly pos: number; readonly end: number }[] {
  if (parts === undefined) return [{ pos, end: last }];
  const end = parts.findIndex(({ type }) => /^(?:Glob|ExtendedGlob|BraceExpansion)$/.test(type));
  return parts.slice(0, end === -1 ? parts.length : end).flatMap((part) => {
    if (part.type === 'Literal') return [{ pos: part.pos, end: part.end }];
    if (part.type === 'SingleQuoted') return [{ pos: part.pos + 1, end: part.end - 1 }];
    if (part.type === 'AnsiCQuoted') return [{ pos: part.pos + 2, end: part.end - 1 }];
    if (part.type !== 'DoubleQuoted' && part.type !== 'LocaleString') return [];
    return part.parts.filter(({ type }) => type === 'Literal');
  });
}

/** Lines of a name, a colon and a secret; the value of a variable; or a secret and nothing else. */
type Kind = 'pairs' | 'value' | 'whole';

/** Programs that read a secret, whatever their words are. */
const READERS = /^(?:passwd|smbpasswd|kinit|cryptsetup|vncpasswd|ldappasswd|pdbedit|kpasswd|systemd-ask-password)$/;
const PAIRS = /^(?:chpasswd|chgpasswd|newusers)$/;
const WORDS: readonly (readonly [program: RegExp, words: RegExp])[] = [
  [/./, /(?:^| )--(?:[\w-]*(?:password|passphrase|token|secret|key)-(?:std)?in|with-token|passphrase-fd[= ]0)(?: |$)/],
  [/^passwd$/, /--stdin/],
  [/^openssl$/, /^passwd .*-stdin|(?:^| )-pass(?:in|out)? stdin(?: |$)/],
  [/^mkpasswd$/, /^(?:.* )?(?:-s|--stdin|-P 0|--password-fd[= ]0)(?: |$)/],
  [/^htpasswd$/, /^(?:.* )?-\w*i/],
  [/^vault$/, /^(?:login|unwrap|operator unseal)(?: .*)? -$|^(?:kv put|write) .*(?:=-| -)$/],
  [/^(?:docker|podman|nerdctl)$/, /^secret create /],
  [/^(?:gh|wrangler|fly|flyctl|heroku|supabase)$/, /^secrets? (?:set|put|import)(?: |$)/],
  [/^gcloud$/, /^secrets .*--data-file=-/],
  [/^secret-tool$/, /^store /],
  [/^pass$/, /^(?:insert|add) /],
  [/^wg$/, /^pubkey/],
  [/^npm$/, /^token /],
];

/** Programs that do not read what sudo has left. */
const READ_NOTHING =
  /^(?:apt|apt-get|aptitude|dnf|yum|apk|pacman|zypper|dpkg|snap|systemctl|service|journalctl|ls|id|whoami|true|mkdir|rmdir|rm|chmod|chown|chgrp|mv|cp|ln|touch|mount|umount|useradd|usermod|userdel|adduser|deluser|groupadd|groupdel|reboot|shutdown|poweroff|ufw|kill|pkill|killall|hostnamectl|timedatectl|ip|ss|netstat|lsof|du|df|stat|certbot)$/;

/** Returns what a command, a pipeline or a loop reads, if that is a secret. */
export function secretInput(
  node: Command | Pipeline | Redirected,
  text: string,
  isFunction: (name: string) => boolean,
): Told[] {
  if (node.type === 'Pipeline')
    return node.commands.flatMap((one, index) => {
      const kind = index === 0 ? undefined : kindOf(one, isFunction);
      return kind === undefined
        ? []
        : printedBy(node.commands[index - 1], isFunction).flatMap((part) => lines(text, part, kind));
    });
  const kind = kindOf(node, isFunction);
  if (kind === undefined) return [];
  return node.redirects.flatMap((one) => hereIn(one, isFunction)).flatMap((part) => lines(text, part, kind));
}

/** What `echo` or `printf` print in `$(…)` or `<(…)`, if that is all. */
export function printed(
  { script }: { readonly script: ParsedScript | undefined },
  isFunction: (name: string) => boolean,
): readonly Part[] {
  const [only, ...others] = script?.commands ?? [];
  // Text in escaped backticks has its own positions.
  if (only?.command.type !== 'Command' || others.length > 0 || script?.source !== undefined) return [];
  return printedBy(only.command, isFunction);
}

const NAMES_FILE = /^--?[\w-]*(?:pass|secret|token|key)[\w-]*(?:file|fd)$/i;

/** `--password-file <(echo value)` */
export function secretFiles({ args, words }: Invoked, isFunction: (name: string) => boolean): Told[] {
  return words.flatMap((word, index) => {
    const [part] = word.parts ?? [];
    if (part?.type !== 'ProcessSubstitution' || part.operator !== '<' || !NAMES_FILE.test(args[index - 1] ?? ''))
      return [];
    return printed(part, isFunction).map((one) => ({ ...one, isValue: false }));
  });
}

/** Returns what a command, or a loop, reads. */
export function kindOf(node: CommandNode | Pipeline, isFunction: (name: string) => boolean): Kind | undefined {
  if (node.type === 'Command') return kindOfPrograms(invokedBy(node, isFunction));
  // `while read TOKEN; do … done`
  const loop = node.type === 'Redirected' ? node.command : node;
  const first = loop.type === 'While' ? loop.clause.commands[0]?.command : undefined;
  return first?.type === 'Command' && kindOf(first, isFunction) === 'value' ? 'value' : undefined;
}

function kindOfPrograms([outer, ...inner]: readonly Invoked[]): Kind | undefined {
  if (outer === undefined) return undefined;
  const { name, args } = outer;
  const last = inner.at(-1) ?? outer;
  if (/^(?:read|mapfile|readarray)$/.test(name))
    return args.some((arg) => !arg.startsWith('-') && isSecretName(arg.replace(/\[.*/, ''))) ? 'value' : undefined;
  if (PAIRS.test(last.name)) return 'pairs';
  if (READERS.test(last.name)) return 'whole';
  const words = last.args.join(' ');
  if (WORDS.some(([program, about]) => program.test(last.name) && about.test(words))) return 'whole';
  // What sudo does not read is passed to its program, or lost.
  const isAsking = name === 'sudo' && args.some((arg) => /^-[A-Za-z]*S|^--stdin$/.test(arg));
  const isQuiet =
    inner.length === 0 || (!last.isPath && READ_NOTHING.test(last.name) && !/(?:^| )-(?: |$)|\/fd|stdin/.test(words));
  return isAsking && !outer.runs && isQuiet ? 'whole' : undefined;
}

interface Part {
  readonly pos: number;
  readonly end: number;
}

/** What `echo`, `printf`, `yes` or a document print into the next command, and nowhere else. */
function printedBy(node: CommandNode | Pipeline | undefined, isFunction: (name: string) => boolean): readonly Part[] {
  if (node?.type === 'Subshell' || node?.type === 'BraceGroup')
    return node.body.commands.flatMap(({ command }) =>
      command.type === 'Command' ? printedBy(command, isFunction) : [],
    );
  if (node?.type !== 'Command') return [];
  const [program, ...others] = invokedBy(node, isFunction);
  if (program === undefined || others.length > 0) return [];
  if (program.name === 'cat') {
    const isToNext = program.args.length === 0 && node.redirects.every(({ type }) => type !== 'Redirect');
    return isToNext ? node.redirects.flatMap((one) => hereIn(one, isFunction)) : [];
  }
  if (!/^(?:echo|printf|yes)$/.test(program.name) || node.redirects.length > 0) return [];
  return program.words.filter((_, index) => !/^-[neE]{1,3}$/.test(program.args[index] ?? '')).flatMap(literals);
}

function hereIn(redirect: Redirection, isFunction: (name: string) => boolean): readonly Part[] {
  // `< <(echo value)`
  const [part] = (redirect.type === 'Redirect' && redirect.operator === '<' && redirect.target?.parts) || [];
  if (part?.type === 'ProcessSubstitution') return printed(part, isFunction);
  if (redirect.type === 'HereString') return redirect.target === undefined ? [] : literals(redirect.target);
  return redirect.type === 'HereDoc' ? [redirect.body] : [];
}

/** An escape for a character, or for a word that follows. */
const ESCAPE = /\\(?:x[0-9a-f]{1,2}|[0-7]{1,4}|[\s\S])|%[-\d.]{0,8}[a-z]|[\r\n]/gi;

/** Returns the lines of a text that is read, without the names before a colon. */
function lines(text: string, { pos, end }: Part, kind: Kind): Told[] {
  const parts: Told[] = [];
  // A mark ends at an escape in the possible value of a variable.
  const ends = kind === 'value' ? /\n/g : ESCAPE;
  let from = pos;
  for (const { index, 0: sign } of [...text.slice(pos, end).matchAll(ends), { index: end - pos, 0: '' }]) {
    const line = text.slice(from, pos + index);
    const [, name = '', secret = line] = kind === 'pairs' ? (/^([^:]*:)([^:]*)/.exec(line) ?? []) : [];
    parts.push({ pos: from + name.length, end: from + name.length + secret.length, isValue: kind === 'value' });
    from = pos + index + sign.length;
  }
  return parts;
}
