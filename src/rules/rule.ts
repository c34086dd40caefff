import { type Static, Type } from '@sinclair/typebox';

export const ACTIONS = ['allow', 'confirm', 'deny'] as const;
/** From the mildest to the strictest. */
export type Action = (typeof ACTIONS)[number];

export const actionSchema = Type.Union(ACTIONS.map((action) => Type.Literal(action)));

const pattern = Type.String({ minLength: 1, maxLength: 1000 });
const patterns = Type.Union([pattern, Type.Array(pattern, { minItems: 1, maxItems: 200 })]);

/** A rule in the file of a profile. In patterns, `*` matches any characters and `?` matches one. */
export const ruleSchema = Type.Object(
  {
    action: actionSchema,
    command: Type.Optional(patterns),
    flags: Type.Optional(patterns),
    arguments: Type.Optional(patterns),
    writes: Type.Optional(patterns),
    reason: Type.Optional(Type.String({ maxLength: 300, description: 'What the model and the owner are told.' })),
  },
  { additionalProperties: false },
);

/** A rule in the form that decisions use. */
export interface Rule {
  readonly action: Action;
  /** Undefined: every command. */
  readonly commands: readonly Glob[] | undefined;
  /** One of them must be there; undefined: any flags. */
  readonly flags: readonly string[] | undefined;
  readonly arguments: readonly Glob[] | undefined;
  /** Of an `allow` with arguments: more may follow. */
  readonly isOpen: boolean;
  /** Files that redirections write to. */
  readonly writes: readonly Glob[] | undefined;
  readonly reason: string | undefined;
  /** The rule as its file says it, for people. */
  readonly words: string;
}

/** Ends the arguments of an `allow`: any more may follow. */
export const MORE = '...';

/** Converts a rule of a file. */
export function ruleOf(stated: Static<typeof ruleSchema>): Rule {
  const args = listOf(stated.arguments);
  return {
    action: stated.action,
    commands: listOf(stated.command)?.map(globOf),
    flags: listOf(stated.flags),
    arguments: args?.filter((one) => one !== MORE).map(globOf),
    isOpen: args?.at(-1) === MORE,
    writes: listOf(stated.writes)?.map(globOf),
    reason: stated.reason,
    words: wordsOf(stated),
  };
}

function listOf(given: string | readonly string[] | undefined): readonly string[] | undefined {
  return typeof given === 'string' ? [given] : given;
}

function wordsOf({ action, command, flags, arguments: args, writes }: Static<typeof ruleSchema>): string {
  const parts = Object.entries({ command, flags, arguments: args, writes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${listOf(value)?.join(', ')}`);
  return `${action} ${parts.join(', ') || 'everything'}`;
}

/** A pattern of a rule: `*` matches any characters, `?` matches one. */
export interface Glob {
  readonly text: string;
  /** Whether it begins as an absolute path does. */
  readonly isAbsolute: boolean;
  test(text: string): boolean;
  /** Whether it may match a text of which only beginning and end are known. */
  mayFit(beginning: string, end: string): boolean;
  /** Returns the pattern from one of its characters on. */
  since(at: number): Glob;
}

/** Parses a pattern. Its test takes linear time in the length of the text: nothing is tried twice. */
function globOf(text: string): Glob {
  const pattern = [...text.replace(/\*+/g, '*')];
  const head = text.slice(0, /[*?]|$/.exec(text)?.index);
  const tail = /[^*?]*$/.exec(text)?.[0] ?? '';
  return {
    text,
    isAbsolute: text.startsWith('/'),
    test: (given) => fits(pattern, [...given]),
    mayFit: (beginning, end) =>
      (head.startsWith(beginning) || beginning.startsWith(head)) && (tail.endsWith(end) || end.endsWith(tail)),
    since: (at) => globOf(text.slice(at)),
  };
}

/** Goes back only to the last star: what the stars before it matched never has to change. */
function fits(pattern: readonly string[], text: readonly string[]): boolean {
  let at = 0;
  let star = -1;
  let taken = 0;
  for (let index = 0; index < text.length; ) {
    if (pattern[at] === '*') {
      star = at++;
      taken = index;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[index])) {
      at++;
      index++;
    } else if (star === -1) return false;
    else {
      at = star + 1;
      index = ++taken;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** The rules of a profile, in their order, and the decision on everything else. */
export interface Ruleset {
  readonly rules: readonly Rule[];
  readonly otherwise: Action;
  /** The decision on what rules apply to and cannot be read. */
  readonly unreadable: Action;
}

/** The decision on a proposal, and its reason. */
export interface Decision {
  readonly action: Action;
  readonly reason: string;
  /** The part of the command that decided. */
  readonly part: string;
  /** The number of the rule, from 1; undefined: none. */
  readonly rule: number | undefined;
  /** The rule, if a person may allow all that it asks of this token for a while; `words` is its text. */
  readonly allowable?: {
    readonly rule: number;
    readonly rule_sha256: string;
    readonly words: string;
    readonly cwd: string;
  };
}

/** The decision if no rule is against it. */
export const ALLOWED: Decision = { action: 'allow', reason: 'no rule is against it', part: '', rule: undefined };

/** Whether rules allow everything, so that nothing has to be read. */
export function letsAllThrough({ rules, otherwise }: Ruleset): boolean {
  return otherwise === 'allow' && rules.every(({ action }) => action === 'allow');
}
