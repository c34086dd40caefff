import { WRITERS } from './outputs.ts';
import type { Glob, Rule } from './rule.ts';

/** Returns rules that never apply and would decide otherwise, because rules before them cover them. A sentence each. */
export function shadowFaults(rules: readonly Rule[]): string[] {
  return shadowsIn(rules).flatMap(({ rule, index, earlier }) => {
    if (earlier.includes(undefined)) return [];
    const numbers = [...new Set(earlier)].filter((one) => one !== undefined).sort((a, b) => a - b);
    const others = numbers.map((number) => rules[number]).filter((one) => one !== undefined);
    if (others.every(({ action }) => action === rule.action)) return [];
    const isSame = others.some((other) => covers(rule, other));
    const advice = isSame ? 'remove one of them' : `move it before rule ${Math.min(...numbers) + 1}`;
    return [`rule ${index + 1} is never reached: ${about(numbers, rules)}; ${advice}`];
  });
}

/** Returns rules that repeat one before them, those that are covered in part, and programs that write past a rule. */
export function shadowNotes(rules: readonly Rule[]): string[] {
  return shadowsIn(rules).flatMap((shadow) => [
    ...repetition(shadow, rules),
    ...lostCommands(shadow, rules),
    ...passingWriters(shadow, rules),
  ]);
}

/** A rule, and for each of its commands the first rule before it that covers it; undefined: none does. */
interface Shadow {
  readonly rule: Rule;
  readonly index: number;
  readonly earlier: readonly (number | undefined)[];
}

function shadowsIn(rules: readonly Rule[]): Shadow[] {
  // Only rules that share a name, or have a pattern, are compared: there may be 500 with 200 names each.
  const named = new Map<string, number[]>();
  const wide: number[] = [];
  return rules.map((rule, index) => {
    const earlier = (rule.commands ?? [undefined]).map((command) => {
      const text = command?.text ?? '*';
      const candidates = [...(named.get(text) ?? []), ...(named.get(nameOf(text)) ?? []), ...wide].sort(
        (a, b) => a - b,
      );
      const one = command === undefined ? rule : { ...rule, commands: [command] };
      return candidates.find((at) => rules[at] !== undefined && covers(rules[at], one));
    });
    for (const { text } of rule.commands ?? []) named.set(text, [...(named.get(text) ?? []), index]);
    if (rule.commands?.some(({ text }) => isWild(text)) ?? true) wide.push(index);
    return { rule, index, earlier };
  });
}

function repetition({ rule, index, earlier }: Shadow, rules: readonly Rule[]): string[] {
  const [first] = earlier;
  const isRepeated = earlier.every((one) => one !== undefined && rules[one]?.action === rule.action);
  return isRepeated && first !== undefined ? [`rule ${index + 1} is never reached: ${about([first], rules)}`] : [];
}

function lostCommands({ rule, index, earlier }: Shadow, rules: readonly Rule[]): string[] {
  if (!earlier.includes(undefined)) return [];
  return earlier.flatMap((one, at) => {
    if (one === undefined || rules[one]?.action === rule.action) return [];
    const command = JSON.stringify(rule.commands?.[at]?.text);
    return [
      `rule ${index + 1} is never reached for command ${command}: ${about([one], rules)}; move it before rule ${one + 1}`,
    ];
  });
}

/** An `allow` for `cp` decides before a later rule about the file that it writes. */
function passingWriters({ rule, index }: Shadow, rules: readonly Rule[]): string[] {
  if (rule.action === 'allow' || rule.writes === undefined) return [];
  return rules.slice(0, index).flatMap(({ action, commands, flags, arguments: args, isOpen, writes }, at) => {
    const isWide = flags === undefined && writes === undefined && (args === undefined || isOpen);
    if (action !== 'allow' || commands === undefined || !isWide) return [];
    const programs = Object.keys(WRITERS).filter((one) => isNamed(one, commands) && isNamed(one, rule.commands));
    if (programs.length === 0) return [];
    const shown = programs.slice(0, MAX_SHOWN).join(', ') + (programs.length > MAX_SHOWN ? ' and others' : '');
    return [
      `rule ${index + 1} (${shorten(rule.words)}) does not see what ${shown} writes, because rule ${at + 1} allows that first; move it before rule ${at + 1}`,
    ];
  });
}

function isNamed(program: string, commands: readonly Glob[] | undefined): boolean {
  return commands === undefined || commands.some((one) => one.test(program));
}

const MAX_SHOWN = 3;

function about(numbers: readonly number[], rules: readonly Rule[]): string {
  const [only, ...more] = numbers;
  if (only !== undefined && more.length === 0)
    return `rule ${only + 1} (${shorten(rules[only]?.words ?? '')}) already covers all of it`;
  return `rules ${numbers.map((one) => one + 1).join(', ')} already cover all of it`;
}

const SHOWN_CHARS = 100;

function shorten(words: string): string {
  return words.length <= SHOWN_CHARS ? words : `${words.slice(0, SHOWN_CHARS)}…`;
}

/**
 * Whether `earlier` decides all that `later` is about. Not if only running a command would show that, nor for programs
 * outside of the system, which an `allow` for a name does not allow.
 */
function covers(earlier: Rule, later: Rule): boolean {
  return (
    !isForTheRest(earlier, later) &&
    coversFlags(earlier, later) &&
    coversWrites(earlier, later) &&
    coversCommands(earlier, later) &&
    coversArguments(earlier, later)
  );
}

function coversFlags({ flags }: Rule, later: Rule): boolean {
  return flags === undefined || (later.flags?.every((flag) => flags.includes(flag)) ?? false);
}

function coversCommands(earlier: Rule, later: Rule): boolean {
  const { commands } = earlier;
  if (commands === undefined) return true;
  if (later.commands === undefined) return commands.some(({ text }) => text === '*');
  return later.commands.every(({ text }) => commands.some((wide) => coversCommand(wide, text, earlier, later)));
}

/** A rule for the rest is about programs outside of the system, which an `allow` for all programs does not allow. */
function isForTheRest(earlier: Rule, { action, commands, flags, arguments: args, writes }: Rule): boolean {
  const isOfAll = commands === undefined || commands.some(({ text }) => text === '*');
  return earlier.action === 'allow' && action !== 'allow' && isOfAll && (flags ?? args ?? writes) === undefined;
}

/** By names: a rule against a program is about all of its paths, and an `allow` for a path about no other. */
function coversCommand(wide: Glob, text: string, earlier: Rule, later: Rule): boolean {
  const hasPath = text.includes('/');
  if (wide.text === text) return !hasPath || earlier.action !== 'allow' || later.action === 'allow';
  if (wide.text.includes('/')) return false;
  if (!hasPath) return coversText(wide, text);
  if (earlier.action === 'allow') return false;
  return wide.text === '*' || (!isWild(text) && coversText(wide, nameOf(text)));
}

/** Returns the name of the program of a path. */
function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether a pattern matches several texts. */
function isWild(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Whether a pattern matches all that another one matches. */
function coversText(wide: Glob, text: string): boolean {
  // Its wildcards are compared as characters: a `?` may match them, but not what a star matches.
  if (wide.text === text) return true;
  return isWild(wide.text) && wide.test(text) && !(wide.text.includes('?') && text.includes('*'));
}

/** Those of an `allow` are complete and in order; those of others are among the arguments. */
function coversArguments(earlier: Rule, later: Rule): boolean {
  const { arguments: wide = [], isOpen } = earlier;
  if (earlier.arguments === undefined || (wide.length === 0 && isOpen)) return true;
  const args = later.arguments ?? [];
  if (earlier.action !== 'allow') {
    const fits = later.action === 'allow' ? (a: Glob, b: Glob) => coversText(a, b.text) : coversPath;
    return wide.every((one) => args.some((other) => fits(one, other)));
  }
  if (later.action !== 'allow' || args.length < wide.length) return false;
  const isAsLong = isOpen || (!later.isOpen && args.length === wide.length);
  return isAsLong && wide.every((one, index) => coversText(one, args[index]?.text ?? ''));
}

/** Whether a pattern matches all paths that another one matches, including relative ones. */
function coversPath(wide: Glob, one: Glob): boolean {
  if (wide.text === one.text || wide.text === '*') return true;
  const sign = (text: string): string | undefined => /^[\w-]+=(?=\/)/.exec(text)?.[0];
  const isAlike = wide.isAbsolute === one.isAbsolute && sign(wide.text) === sign(one.text);
  return isAlike && coversText(wide, one.text);
}

/** Redirections are decided separately, and a rule without files is about none. */
function coversWrites(earlier: Rule, later: Rule): boolean {
  if (earlier.writes === undefined) {
    if (later.writes === undefined) return true;
    // Nothing makes a denied command stricter or milder.
    return earlier.action === 'deny' && !isOfFilesAlone(later);
  }
  const { writes } = earlier;
  if (later.writes?.every((one) => writes.some((wide) => coversPath(wide, one))) !== true) return false;
  if (earlier.action !== 'allow') return true;
  // A rule with nothing but files allows no program, and sees no words.
  return later.action === 'allow' && isOfFilesAlone(earlier) === isOfFilesAlone(later);
}

function isOfFilesAlone({ commands, flags, arguments: args }: Rule): boolean {
  return commands === undefined && flags === undefined && args === undefined;
}
