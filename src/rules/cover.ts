import type { Glob } from './glob.ts';
import type { Rule } from './rule.ts';

/**
 * Whether all that `later` is about, `earlier` decides. Not where only running a command tells, nor of programs outside
 * of the system, which an `allow` for a name does not allow.
 */
export function covers(earlier: Rule, later: Rule): boolean {
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

/** What an `allow` of all programs is not about, those elsewhere than the system's, a rule for the rest is there for. */
function isForTheRest(earlier: Rule, { action, commands, flags, arguments: args, writes }: Rule): boolean {
  const isOfAll = commands === undefined || commands.some(({ text }) => text === '*');
  return earlier.action === 'allow' && action !== 'allow' && isOfAll && (flags ?? args ?? writes) === undefined;
}

/** By names, as a rule against a program is about all of its paths, and an `allow` for a path about no other. */
function coversCommand(wide: Glob, text: string, earlier: Rule, later: Rule): boolean {
  const hasPath = text.includes('/');
  if (wide.text === text) return !hasPath || earlier.action !== 'allow' || later.action === 'allow';
  if (wide.text.includes('/')) return false;
  if (!hasPath) return coversText(wide, text);
  if (earlier.action === 'allow') return false;
  return wide.text === '*' || (!isWild(text) && coversText(wide, nameOf(text)));
}

/** The name of the program of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether a pattern stands for several texts. */
export function isWild(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Whether a pattern fits all that another one fits. */
function coversText(wide: Glob, text: string): boolean {
  // Its wildcards are taken as characters, which a `?` may stand for, but not for what a star stands for.
  if (wide.text === text) return true;
  return isWild(wide.text) && wide.test(text) && !(wide.text.includes('?') && text.includes('*'));
}

/** Those of an `allow` are all there are, in their order; those of others are among them. */
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

/** Whether a pattern fits all paths that another one fits, also relative ones. */
function coversPath(wide: Glob, one: Glob): boolean {
  if (wide.text === one.text || wide.text === '*') return true;
  const sign = (text: string): string | undefined => /^[\w-]+=(?=\/)/.exec(text)?.[0];
  const isAlike = wide.isAbsolute === one.isAbsolute && sign(wide.text) === sign(one.text);
  return isAlike && coversText(wide, one.text);
}

/** Redirections are asked about on their own, where a rule without files is about none. */
function coversWrites(earlier: Rule, later: Rule): boolean {
  if (earlier.writes === undefined) {
    if (later.writes === undefined) return true;
    // What is denied already, nothing else makes stricter or milder.
    return earlier.action === 'deny' && !isOfFilesAlone(later);
  }
  const { writes } = earlier;
  if (later.writes?.every((one) => writes.some((wide) => coversPath(wide, one))) !== true) return false;
  if (earlier.action !== 'allow') return true;
  // One of files alone allows no program, and sees no words.
  return later.action === 'allow' && isOfFilesAlone(earlier) === isOfFilesAlone(later);
}

function isOfFilesAlone({ commands, flags, arguments: args }: Rule): boolean {
  return commands === undefined && flags === undefined && args === undefined;
}
