import { covers, isWild, nameOf } from './cover.ts';
import type { Glob } from './glob.ts';
import { WRITERS } from './outputs.ts';
import type { Rule } from './rule.ts';

/** Rules that are never reached and would say something else: those before them are about all of it. A sentence each. */
export function shadowFaults(rules: readonly Rule[]): string[] {
  return shadowsIn(rules).flatMap(({ rule, index, earlier }) => {
    if (earlier.includes(undefined)) return [];
    const numbers = [...new Set(earlier)].filter((one) => one !== undefined).sort((a, b) => a - b);
    const others = numbers.map((number) => rules[number]).filter((one) => one !== undefined);
    if (others.every(({ action }) => action === rule.action)) return [];
    const isSame = others.some((other) => covers(rule, other));
    const advice = isSame ? 'take one of them away' : `move it before rule ${Math.min(...numbers) + 1}`;
    return [`rule ${index + 1} is never reached: ${about(numbers, rules)}; ${advice}`];
  });
}

/** Rules that say again what one before them says, those that are not reached in part, and writers that pass one by. */
export function shadowNotes(rules: readonly Rule[]): string[] {
  return shadowsIn(rules).flatMap((shadow) => [
    ...repetition(shadow, rules),
    ...lostCommands(shadow, rules),
    ...passingWriters(shadow, rules),
  ]);
}

/** A rule, and of each of its commands the first rule before it that leaves nothing of it; undefined: it is reached. */
interface Shadow {
  readonly rule: Rule;
  readonly index: number;
  readonly earlier: readonly (number | undefined)[];
}

function shadowsIn(rules: readonly Rule[]): Shadow[] {
  // Only rules that have a name in common, or a pattern, are compared: there may be 500 with 200 names each.
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

/** An `allow` for `cp` decides about it before a later rule looks at what it writes. */
function passingWriters({ rule, index }: Shadow, rules: readonly Rule[]): string[] {
  if (rule.action === 'allow' || rule.writes === undefined) return [];
  return rules.slice(0, index).flatMap(({ action, commands, flags, arguments: args, isOpen, writes }, at) => {
    const isWide = flags === undefined && writes === undefined && (args === undefined || isOpen);
    if (action !== 'allow' || commands === undefined || !isWide) return [];
    const programs = Object.keys(WRITERS).filter((one) => isNamed(one, commands) && isNamed(one, rule.commands));
    if (programs.length === 0) return [];
    const shown = programs.slice(0, MAX_SHOWN).join(', ') + (programs.length > MAX_SHOWN ? ' and others' : '');
    return [
      `rule ${index + 1} (${shorten(rule.words)}) does not see what ${shown} writes, which rule ${at + 1} allows before it; move it before rule ${at + 1}`,
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
    return `rule ${only + 1} (${shorten(rules[only]?.words ?? '')}) is about all of it already`;
  return `rules ${numbers.map((one) => one + 1).join(', ')} are about all of it already`;
}

const SHOWN_CHARS = 100;

function shorten(words: string): string {
  return words.length <= SHOWN_CHARS ? words : `${words.slice(0, SHOWN_CHARS)}…`;
}
