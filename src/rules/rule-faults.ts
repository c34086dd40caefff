import type { Static } from '@sinclair/typebox';
import type { ruleSchema } from './rule.ts';

/** Why a rule would never be about anything, or be about everything, a sentence each; `name` is the rule's, as decisions have it (`rule 1`). */
export function ruleFaults(name: string, rule: Static<typeof ruleSchema>): string[] {
  const { command, flags, arguments: args, writes } = rule;
  if ([command, flags, args, writes].every((one) => one === undefined)) {
    return [
      `${name} has no condition (command, flags, arguments or writes): what holds for the rest is otherwise = "${rule.action}"`,
    ];
  }
  return [
    ...[command ?? []].flat().filter(isSeveralWords).map(commandFault(name)),
    ...[flags ?? []].flat().filter(isNoFlag).map(flagFault(name)),
  ];
}

/** A path may have spaces in it, but no options behind it. */
function isSeveralWords(command: string): boolean {
  return /\s/.test(command) && (!command.startsWith('/') || /\s-/.test(command));
}

function commandFault(name: string): (command: string) => string {
  return (command) => {
    const [program = '', ...rest] = command.trim().split(/\s+/);
    const flags = rest.filter((word) => word.startsWith('-'));
    const args = rest.filter((word) => !word.startsWith('-'));
    const advice = [
      `command = ${JSON.stringify(program)}`,
      ...(flags.length === 0 ? [] : [`flags = ${JSON.stringify(flags)}`]),
      ...(args.length === 0 ? [] : [`arguments = ${JSON.stringify(args)}`]),
    ];
    return `${name}: command ${JSON.stringify(command)} is more than the name of a program: write ${advice.join(', ')}`;
  };
}

function isNoFlag(flag: string): boolean {
  return !flag.startsWith('-') || /\s/.test(flag);
}

function flagFault(name: string): (flag: string) => string {
  return (flag) => {
    const words = flag.trim().split(/\s+/);
    const isOption = words.every((word) => word.startsWith('-'));
    const dashed = words.map((word) => (word.startsWith('-') ? word : `${word.length === 1 ? '-' : '--'}${word}`));
    const advice = `flags = ${JSON.stringify(isOption ? words : dashed)}`;
    return `${name}: flags ${JSON.stringify(flag)} is no flag, which begins with - and has no space in it: write ${advice}, or arguments for what is none`;
  };
}
