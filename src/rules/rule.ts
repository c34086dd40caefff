import { type Static, Type } from '@sinclair/typebox';
import { type Glob, globOf } from './glob.ts';

export const ACTIONS = ['allow', 'confirm', 'deny'] as const;
/** From the mildest to the strictest. */
export type Action = (typeof ACTIONS)[number];

export const actionSchema = Type.Union(ACTIONS.map((action) => Type.Literal(action)));

const pattern = Type.String({ minLength: 1, maxLength: 1000 });
const patterns = Type.Union([pattern, Type.Array(pattern, { minItems: 1, maxItems: 200 })]);

/** A rule, as the file of a profile states it. In patterns, `*` stands for any characters and `?` for one. */
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

/** A rule that can be asked. */
export interface Rule {
  readonly action: Action;
  /** Undefined: every command. */
  readonly commands: readonly Glob[] | undefined;
  /** One of them is given; undefined: whatever flags. */
  readonly flags: readonly string[] | undefined;
  readonly arguments: readonly Glob[] | undefined;
  /** Of an `allow` with arguments: more may follow. */
  readonly isOpen: boolean;
  /** Files that redirections write to. */
  readonly writes: readonly Glob[] | undefined;
  readonly reason: string | undefined;
  /** As the file states it, for people. */
  readonly words: string;
}

/** Ends the arguments of an `allow`: any more may follow. */
export const MORE = '...';

/** The rule that a file states. */
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
