import { KindGuard, type Static, type TObject, type TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { canUse, FLEET_OPERATIONS, type Profile } from '../access/profile.ts';
import { withFrozen } from '../calls/answer.ts';
import {
  type Answer,
  type Call,
  type CallContext,
  type CallDeps,
  underPolicy,
  withForbidden,
} from '../calls/context.ts';
import { asJson, describeMismatch, describeSchema, preview } from '../lib/describe-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';

/** What every door is derived from: a name, texts for the model, schemas, and a handler. */
export interface Operation {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: TObject;
  readonly result: TObject;
  /** Whether it changes nothing: a person may allow it once and for all. */
  readonly readOnly: boolean;
  /** Whether lists for models leave out the arguments that they seldom need: a hub has more operations. */
  readonly isBrief: boolean;
  /** Arguments that are files which ChatGPT passes on (OpenAI's Apps SDK, `openai/fileParams`). */
  readonly files: readonly string[];
  /** Whether it may stop, change or delete something: a person should look before it runs. */
  readonly mayDestroy: boolean;
  /** Whether this machine has what it needs. If not, documents and lists of tools leave it out, and it answers 503. */
  isOffered(): Promise<boolean>;
  /** The last result of `isOffered`; true until it was called. */
  wasOffered(): boolean;
  /** Passes the call through the policy, checks `args` and runs. Throws an `AgentError` when the call is refused. */
  invoke(args: unknown, call: Call): Promise<Answer>;
}

/** Marks an argument that a model seldom needs. */
export const SELDOM = { seldom: true } as const;

/** An operation as its file defines it. */
export interface OperationDefinition<Args extends TObject> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: Args;
  readonly result: TObject;
  /** Whether it stops or deletes something: an unknown argument is refused, because a misspelt one must not delete. */
  readonly destructive: boolean;
  readonly readOnly: boolean;
  /** See `Operation`; by default empty. */
  readonly files?: readonly string[];
  /** Whether it writes its own lines of the record. */
  readonly recordsItself?: boolean;
  /** See `PolicySubject`. */
  readonly whileFrozen?: boolean;
  /** Whether this machine has what it needs; undefined: always. */
  isOffered?(): Promise<boolean>;
  /** Converts arguments of another form to the one of `args`, before they are checked. */
  normalize?(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** The form of an argument in documents, if importers do not accept the one of `args`. */
  readonly documented?: Readonly<Record<string, TSchema>>;
  /** Checks the raw arguments before the schema, for errors with their own text. */
  precheck?(args: Readonly<Record<string, unknown>>, isLean: boolean): void;
  /** `ignored` names unknown arguments, for `message`; undefined without any. */
  run(args: Static<Args>, context: CallContext, ignored: string | undefined): Promise<Answer>;
}

/** Turns a definition into an operation: the schema is compiled once, arguments are checked here and trusted inside. */
export function defineOperation<Args extends TObject>(
  deps: CallDeps,
  definition: OperationDefinition<Args>,
): Operation {
  const { name, summary, description, args, result, readOnly, recordsItself = false, documented = {} } = definition;
  const parse = argumentParser(definition);
  const recorded = recordsItself ? 'by itself' : readOnly ? 'after' : 'before';
  let wasOffered = true;
  const subject = { name, needs: name, readOnly, recorded, whileFrozen: definition.whileFrozen } as const;
  return {
    name,
    summary,
    description,
    args: Object.keys(documented).length === 0 ? args : { ...args, properties: { ...args.properties, ...documented } },
    result,
    readOnly,
    isBrief: false,
    files: definition.files ?? [],
    // An operation that is not read-only runs commands, which may do anything, or is destructive by itself.
    mayDestroy: definition.destructive || !readOnly,
    isOffered: async () => {
      wasOffered = (await definition.isOffered?.()) ?? true;
      return wasOffered;
    },
    wasOffered: () => wasOffered,
    invoke: (raw, call) =>
      underPolicy(deps, subject, raw, call, async (context) => {
        const { value, ignored } = parse(raw, call.isLean);
        const answer = await definition.run(value, context, ignored);
        return withFrozen(withForbidden(answer, context.profile), deps.freeze);
      }),
  };
}

/** Returns those of `operations` that a token can use. Throws `AccessLapsed`. */
export function usableBy(
  { access, operations }: Pick<CallDeps, 'access'> & { readonly operations: readonly Operation[] },
  principal: string,
): { readonly profile: Profile; readonly operations: readonly Operation[] } {
  const profile = access.promisedProfile(principal);
  return { profile, operations: operations.filter(({ name }) => canUse(profile, name)) };
}

/** Returns those of `operations` that this machine offers. */
export async function offered(operations: readonly Operation[]): Promise<Operation[]> {
  const isOffered = await Promise.all(operations.map((operation) => operation.isOffered()));
  return operations.filter((_, index) => isOffered[index]);
}

/** Returns true for the name of an operation that only the hub of a fleet has. */
export function isOfHub(name: unknown): boolean {
  return FLEET_OPERATIONS.some((one) => one === name);
}

/** What is unknown is ignored, but not these: what is meant for another server must not be done on this one. */
const ELSEWHERE: readonly string[] = ['server', 'servers'];

/**
 * Returns the function that checks an operation's arguments and fills in their defaults; `ignored` names the unknown
 * ones. It throws `InvalidArguments` that names each field and the reason.
 */
function argumentParser<Args extends TObject>(definition: OperationDefinition<Args>) {
  const { name, args, destructive } = definition;
  const checker = TypeCompiler.Compile(args);
  const known = Object.keys(args.properties);
  return (raw: unknown, isLean = false): { readonly value: Static<Args>; readonly ignored: string | undefined } => {
    const object = withoutTexts(args, asObject(name, raw));
    definition.precheck?.(object, isLean);
    const given = definition.normalize?.(object) ?? object;
    const unknown = Object.keys(given).filter((one) => !known.includes(one));
    const elsewhere = unknown.find((one) => ELSEWHERE.includes(one));
    if (elsewhere !== undefined)
      throw new InvalidArguments(
        `${name} has no argument ${JSON.stringify(elsewhere)} here, so nothing was done. Leave it out if you mean this server; only the hub of a fleet reaches others.`,
      );
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

/** Returns `Unknown argument "foo".`, for at most five names. */
function unknownNames(names: readonly string[]): string {
  const shown = names.slice(0, 5).map((name) => JSON.stringify(name.slice(0, 40)));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  return `Unknown argument${names.length === 1 ? '' : 's'} ${shown.join(', ')}${more}.`;
}

function asObject(operation: string, raw: unknown): Record<string, unknown> {
  const given = asJson(raw);
  if (given === undefined || given === null) return {};
  if (typeof given !== 'object' || Array.isArray(given)) {
    throw new InvalidArguments(`args must be an object with the arguments of ${operation}, not ${preview(raw)}.`);
  }
  return withoutNulls(given);
}

/** Parses JSON text: clients that only pass flat arguments send a list or an object as text. */
function withoutTexts({ properties }: TObject, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(given).map(([name, value]) => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const isNested = KindGuard.IsArray(schema) || KindGuard.IsObject(schema) || KindGuard.IsRecord(schema);
    return [name, isNested ? asJson(value) : value] as const;
  });
  return Object.fromEntries(entries);
}

/** Removes `null`: models in strict mode send it for arguments that they leave out. */
function withoutNulls(given: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
}

/** Returns only the known arguments, as own properties of a new object, with the schema's default for a missing one. */
function withDefaults(schema: TObject, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    if (Object.hasOwn(given, name)) value[name] = asSchema(property, given[name]);
    else if (property.default !== undefined) value[name] = property.default;
  }
  return value;
}

/**
 * Converts a value to the type of its schema, if a client sent it in another readable type; any other stays as it is.
 */
function asSchema(schema: TSchema, value: unknown): unknown {
  if (KindGuard.IsNumber(schema) || KindGuard.IsInteger(schema)) return asNumber(value);
  if (KindGuard.IsBoolean(schema)) return asBoolean(value);
  if (KindGuard.IsArray(schema))
    return Array.isArray(value) ? value.map((item) => asSchema(schema.items, item)) : value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if (KindGuard.IsObject(schema)) return asProperties(schema, value);
  if (KindGuard.IsRecord(schema)) return asTexts(value);
  return value;
}

function asProperties({ properties }: TObject, value: object): Record<string, unknown> {
  const entries = Object.entries(withoutNulls(value));
  return Object.fromEntries(
    entries.map(([name, inner]) => {
      const schema = properties[name];
      return [name, schema === undefined ? inner : asSchema(schema, inner)];
    }),
  );
}

/** Converts numbers and booleans in a record of strings to text. */
function asTexts(value: object): Record<string, unknown> {
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, one]) => [name, typeof one === 'number' || typeof one === 'boolean' ? String(one) : one]),
  );
}

/** A number as JSON writes it; one that is too large stays text. */
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function asNumber(value: unknown): unknown {
  return typeof value === 'string' && NUMBER.test(value.trim()) && Number.isFinite(Number(value))
    ? Number(value)
    : value;
}

/** Python writes `True`. */
function asBoolean(value: unknown): unknown {
  const text = typeof value === 'string' ? value.trim().toLowerCase() : value;
  if (text === 'true') return true;
  return text === 'false' ? false : value;
}

interface Fault {
  readonly path: string;
  readonly schema: TSchema;
  readonly value: unknown;
}

/** Returns one sentence for each argument that is wrong. */
function describeFaults(faults: Iterable<Fault>, schema: TObject): string {
  const sentences = new Map<string, string>();
  for (const fault of faults) {
    const [name = '', ...inner] = fault.path.slice(1).split('/').map(unescapePointer);
    if (sentences.has(name)) continue;
    const expected = inner.length > 0 ? fault.schema : schema.properties[name];
    if (expected === undefined) continue;
    sentences.set(name, describeFault([name, ...inner].join('.').slice(0, 80), expected, fault.value));
  }
  return [...sentences.values()].join(' ');
}

function describeFault(name: string, expected: TSchema, value: unknown): string {
  if (value === undefined) return `${name} is required: ${describeSchema(expected)}.`;
  return `${name} ${describeMismatch(expected, value)}.`;
}

/** RFC 6901: `~1` is `/`, `~0` is `~`. */
function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
