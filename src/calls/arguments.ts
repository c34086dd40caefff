import type { Static, TObject, TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { InvalidArguments } from '../lib/errors.ts';
import { describeSchema, preview } from '../lib/schema-words.ts';

/** Arguments that were checked, with their defaults filled in. */
export interface ParsedArguments<Value> {
  readonly value: Value;
  /** Names that the operation does not know. */
  readonly ignored: readonly string[];
}

interface ParserOptions<Args extends TObject> {
  readonly name: string;
  readonly args: Args;
  readonly destructive: boolean;
  precheck?(args: Readonly<Record<string, unknown>>): void;
  normalize?(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
}

/** Makes the function that checks an operation's arguments. It throws `InvalidArguments` that names each field and the reason. */
export function argumentParser<Args extends TObject>(
  options: ParserOptions<Args>,
): (raw: unknown) => ParsedArguments<Static<Args>> {
  const checker = TypeCompiler.Compile(options.args);
  const known = Object.keys(options.args.properties);
  return (raw) => {
    const object = asObject(options.name, raw);
    options.precheck?.(object);
    const given = options.normalize?.(object) ?? object;
    const ignored = Object.keys(given).filter((name) => !known.includes(name));
    if (options.destructive && ignored.length > 0) {
      throw new InvalidArguments(
        `${unknownNames(ignored)} ${options.name} takes ${known.join(', ')}. Nothing was done.`,
      );
    }
    const value = withDefaults(options.args, given);
    if (!checker.Check(value)) throw new InvalidArguments(describeFaults(checker.Errors(value), options.args));
    return { value, ignored };
  };
}

/** That arguments were ignored, and which ones there are; undefined where none was. */
export function ignoredHint(ignored: readonly string[], known: TObject): string | undefined {
  if (ignored.length === 0) return undefined;
  const verb = ignored.length === 1 ? 'It was' : 'They were';
  return `${unknownNames(ignored)} ${verb} ignored; there are ${Object.keys(known.properties).join(', ')}.`;
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
