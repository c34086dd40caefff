import { type Look, NOTHING, RUNS_PROGRAMS, unreadable } from './look.ts';
import { isNoOption, type Text } from './words.ts';

/** By what words a program runs others; all else that it is told is harmless. */
export interface Hazards {
  /** Letters of short options, also among others: `-cIf`. */
  readonly letters?: string;
  /** Names of long options, which may be cut short. */
  readonly long?: readonly string[];
  /** Long options that look like one of these cut short, and are not. */
  readonly harmless?: readonly string[];
  /** Options with a value: what that is need not be known. */
  readonly valued?: string;
  readonly valuedLong?: readonly string[];
  /** Other words. */
  readonly words?: RegExp;
  /** They may stand anywhere in a word, as in a text of SQL. */
  readonly isAnywhere?: boolean;
  /** Long options begin with one dash: `-wrapper`. */
  readonly hasSingleDashes?: boolean;
  readonly reason?: string;
}

/** Unreadable when one of its words may make a program run another. */
export function unless(hazards: Hazards): Look {
  return (args) => (isHazardous(args, hazards) ? unreadable(hazards.reason ?? RUNS_PROGRAMS) : NOTHING);
}

export function isHazardous(args: readonly Text[], hazards: Hazards): boolean {
  const { words, letters, long } = hazards;
  if (words === undefined && letters === undefined && long === undefined) return false;
  if (words !== undefined && args.some((arg) => mayBeWord(words, arg, hazards))) return true;
  let hasEnded = false;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === undefined) break;
    if (hasEnded) continue;
    if (arg.isKnown && arg.text === '--') hasEnded = true;
    else if (!arg.isKnown && !arg.text.startsWith('-')) {
      if (!isNoOption(arg)) return true;
    } else if (arg.text.startsWith('-') && arg.text !== '-') {
      const step = optionOf(arg, hazards);
      if (step === 'hazard') return true;
      if (step === 'valued' && args[++index]?.maySplit === true) return true;
    }
  }
  return false;
}

/** A word of which only a beginning of letters is known may become any. */
function mayBeWord(words: RegExp, { text, isKnown, isAlike }: Text, { isAnywhere = false }: Hazards): boolean {
  if (words.test(text)) return true;
  return !isKnown && (isAnywhere || !isAlike || /^\w+$/.test(text));
}

type Step = 'hazard' | 'harmless' | 'valued';

function optionOf(arg: Text, hazards: Hazards): Step {
  const { text, isKnown } = arg;
  const { hasSingleDashes = false, valuedLong = [] } = hazards;
  if (text.startsWith('--') || hasSingleDashes) {
    const [name = ''] = text.replace(/^--?/, '').split('=', 1);
    const isWhole = isKnown || text.includes('=');
    if (!isWhole) return 'hazard';
    if (mayBe(name, hazards)) return 'hazard';
    if (arg.maySplit && !isKnown) return 'hazard';
    return !text.includes('=') && valuedLong.includes(name) ? 'valued' : 'harmless';
  }
  return shortOf(arg, hazards);
}

function mayBe(name: string, { long = [], harmless = [], valuedLong = [] }: Hazards): boolean {
  if (harmless.includes(name) || (valuedLong.includes(name) && !long.includes(name))) return false;
  return long.some((one) => one.startsWith(name));
}

function shortOf({ text, isKnown, maySplit }: Text, { letters = '', valued = '' }: Hazards): Step {
  for (let at = 1; at < text.length; at++) {
    const letter = text[at] ?? '';
    if (letters.includes(letter)) return 'hazard';
    if (!valued.includes(letter)) continue;
    if (at + 1 < text.length) return maySplit ? 'hazard' : 'harmless';
    return isKnown ? 'valued' : 'hazard';
  }
  return isKnown ? 'harmless' : 'hazard';
}
