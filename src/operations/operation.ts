import type { Static, TObject, TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import {
  type Answer,
  type Call,
  type CallContext,
  type CallDeps,
  underPolicy,
  withForbidden,
} from '../calls/context.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { describeSchema, preview } from '../lib/schema-words.ts';

/** What every door is derived from: a name, texts for the model, schemas, and what it does. */
export interface Operation {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: TObject;
  readonly result: TObject;
  /** It changes nothing: a person may allow it once and for all. */
  readonly readOnly: boolean;
  /** It may stop, change or delete what is there: a person should look before it runs. */
  readonly mayDestroy: boolean;
  /** Lets the call pass the policy, checks `args` and runs. Throws an `AgentError` when the call is refused. */
  invoke(args: unknown, call: Call): Promise<Answer>;
}

/** An operation as its file states it. */
export interface OperationDefinition<Args extends TObject> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: Args;
  readonly result: TObject;
  /** It stops or deletes something: an unknown argument is refused, because a misspelt one must not delete. */
  readonly destructive: boolean;
  readonly readOnly: boolean;
  /** It writes its own lines of the record. */
  readonly recordsItself?: boolean;
  /** Arguments in another form than `args` states, brought into that one before they are checked. */
  normalize?(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** The form of an argument that documents show, where importers do not take the one of `args`. */
  readonly documented?: Readonly<Record<string, TSchema>>;
  /** A look at the raw arguments before the schema, for errors with a text of their own. */
  precheck?(args: Readonly<Record<string, unknown>>): void;
  /** `ignored` names arguments that it does not know, for `message`; undefined where there was none. */
  run(args: Static<Args>, context: CallContext, ignored: string | undefined): Promise<Answer>;
}

/** Turns a definition into an operation: the schema is compiled once, arguments are checked at this edge and trusted inside. */
export function defineOperation<Args extends TObject>(
  deps: CallDeps,
  definition: OperationDefinition<Args>,
): Operation {
  const { name, summary, description, args, result, readOnly, recordsItself = false, documented = {} } = definition;
  const parse = argumentParser(definition);
  const recorded = recordsItself ? 'by itself' : readOnly ? 'after' : 'before';
  const subject = { name, needs: name, readOnly, recorded } as const;
  return {
    name,
    summary,
    description,
    args: Object.keys(documented).length === 0 ? args : { ...args, properties: { ...args.properties, ...documented } },
    result,
    readOnly,
    // What is not read-only runs commands, which may do anything, or is destructive by itself.
    mayDestroy: definition.destructive || !readOnly,
    invoke: (raw, call) =>
      underPolicy(deps, subject, raw, call, async (context) => {
        const { value, ignored } = parse(raw);
        return withForbidden(await definition.run(value, context, ignored), context.profile);
      }),
  };
}

/**
 * Makes the function that checks an operation's arguments and fills in their defaults; `ignored` says which it does not
 * know. It throws `InvalidArguments` that names each field and the reason.
 */
function argumentParser<Args extends TObject>(definition: OperationDefinition<Args>) {
  const { name, args, destructive } = definition;
  const checker = TypeCompiler.Compile(args);
  const known = Object.keys(args.properties);
  return (raw: unknown): { readonly value: Static<Args>; readonly ignored: string | undefined } => {
    const object = asObject(name, raw);
    definition.precheck?.(object);
    const given = definition.normalize?.(object) ?? object;
    const unknown = Object.keys(given).filter((one) => !known.includes(one));
    if (destructive && unknown.length > 0)
      throw new InvalidArguments(`${unknownNames(unknown)} ${name} takes ${known.join(', ')}. Nothing was done.`);
    const value = withDefaults(args, given);
    if (!checker.Check(value)) throw new InvalidArguments(describeFaults(checker.Errors(value), args));
    return { value, ignored: ignoredHint(unknown, known) };
  };
}

function ignoredHint(names: readonly string[], known: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const verb = names.length === 1 ? 'It was' : 'They were';
  return `${unknownNames(names)} ${verb} ignored; there are ${known.join(', ')}.`;
}

/** `Unknown argument "foo".`, for at most five names. */
function unknownNames(names: readonly string[]): string {
  const shown = names.slice(0, 5).map((name) => JSON.stringify(name.slice(0, 40)));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  return `Unknown argument${names.length === 1 ? '' : 's'} ${shown.join(', ')}${more}.`;
}

function asObject(operation: string, raw: unknown): Record<string, unknown> {
  if (raw === undefined) return {};
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new InvalidArguments(`args must be an object with the arguments of ${operation}, not ${preview(raw)}.`);
  }
  return raw as Record<string, unknown>;
}

/** Only the known arguments, as own properties of a new object; the schema's default where one is missing. */
function withDefaults(schema: TObject, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    if (Object.hasOwn(given, name)) value[name] = given[name];
    else if (property.default !== undefined) value[name] = property.default;
  }
  return value;
}

interface Fault {
  readonly path: string;
  readonly value: unknown;
}

function describeFaults(faults: Iterable<Fault>, schema: TObject): string {
  const sentences = new Map<string, string>();
  for (const fault of faults) {
    const [name = '', ...inner] = fault.path.slice(1).split('/').map(unescapePointer);
    if (sentences.has(name)) continue;
    const expected = schema.properties[name];
    if (expected === undefined) continue;
    sentences.set(name, describeFault(name, inner, expected, fault.value));
  }
  return [...sentences.values()].join(' ');
}

function describeFault(name: string, inner: readonly string[], expected: TSchema, value: unknown): string {
  if (inner.length > 0) return `${name}.${inner.join('.').slice(0, 60)} must be a string, not ${preview(value)}.`;
  if (value === undefined) return `${name} is required: ${describeSchema(expected)}.`;
  const advice = isQuoted(expected, value) ? ' Send it without quotes.' : '';
  return `${name} must be ${describeSchema(expected)}, not ${preview(value)}.${advice}`;
}

/** Whether a string stands where the number or the truth value in it should. */
function isQuoted(expected: TSchema, value: unknown): boolean {
  if (typeof value !== 'string') return false;
  if (expected['type'] === 'boolean') return value === 'true' || value === 'false';
  return ['number', 'integer'].includes(expected['type']) && /^-?\d+(?:\.\d+)?$/.test(value);
}

/** RFC 6901: `~1` is `/`, `~0` is `~`. */
function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
