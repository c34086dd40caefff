import { KindGuard, type TSchema } from '@sinclair/typebox';
import { ABSOLUTE_PATH, ANY_URL, CONTEXT_NAME, HOST_URL, LOOPBACK_OR_SOCKET, ORIGINS, PATH_OR_HOME } from './limits.ts';

/** Describes what a schema accepts: `a number from 0.1 to 45`. */
export function describeSchema(schema: TSchema): string {
  if (KindGuard.IsUnion(schema)) return describeUnion(schema.anyOf);
  if (KindGuard.IsBoolean(schema)) return 'true or false';
  if (KindGuard.IsRecord(schema)) return 'an object of strings';
  if (KindGuard.IsInteger(schema)) return `an integer${range(schema.minimum, schema.maximum)}`;
  if (KindGuard.IsNumber(schema)) return `a number${range(schema.minimum, schema.maximum)}`;
  if (KindGuard.IsString(schema)) return describeString(schema);
  if (KindGuard.IsArray(schema)) return 'a list';
  if (KindGuard.IsObject(schema)) return 'an object';
  return 'of another type';
}

/** Says how a value differs from what a schema accepts: `must be true or false, not 3`, `must have 1 to 9 entries, not 0`. */
export function describeMismatch(schema: TSchema, value: unknown): string {
  const list = KindGuard.IsUnion(schema) ? schema.anyOf.find((one) => KindGuard.IsArray(one)) : schema;
  if (Array.isArray(value) && list !== undefined && KindGuard.IsArray(list)) {
    const { minItems = 0, maxItems = Number.MAX_SAFE_INTEGER } = list;
    if (value.length < minItems || value.length > maxItems)
      return `must have ${minItems} to ${maxItems} entries, not ${value.length}`;
  }
  return `must be ${describeSchema(schema)}, not ${preview(value)}`;
}

function describeUnion(schemas: readonly TSchema[]): string {
  const isChoice = schemas.every((one) => KindGuard.IsLiteral(one));
  if (isChoice) return `one of ${schemas.map((one) => JSON.stringify(one['const'])).join(', ')}`;
  return schemas.map(describeSchema).join(' or ');
}

const PATTERN_WORDS: Readonly<Record<string, string>> = {
  '^/': 'an absolute path',
  [CONTEXT_NAME]: 'a name of up to 64 letters, digits and _ . -',
  [ABSOLUTE_PATH]: 'an absolute path',
  [HOST_URL]: 'a URL without a path, such as https://agent.example.org',
  [ORIGINS]: 'URLs without a path, separated by commas, such as https://app.example.org',
  [ANY_URL]: 'a URL, such as https://agent.example.org/x',
  [LOOPBACK_OR_SOCKET]: 'an address on loopback with its port, such as 127.0.0.1:5001, or the path of a socket',
  [PATH_OR_HOME]: 'a path that begins with / or ~/',
  '^[a-z_][a-z0-9_.-]{0,31}$': 'the name of a user, of up to 32 small letters, digits and _ . -',
};

function describeString(schema: TSchema): string {
  const { minLength, maxLength, pattern } = schema as { minLength?: number; maxLength?: number; pattern?: string };
  const words = pattern === undefined ? undefined : PATTERN_WORDS[pattern];
  if (words !== undefined) return words;
  const length = maxLength === undefined ? '' : ` of ${minLength ?? 0} to ${maxLength} characters`;
  return pattern === undefined ? `a string${length}` : `a string${length} that matches ${pattern}`;
}

function range(least: unknown, most: unknown): string {
  // The largest numbers are no real limit.
  const minimum = least === Number.MIN_SAFE_INTEGER ? undefined : least;
  const maximum = most === Number.MAX_SAFE_INTEGER ? undefined : most;
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` from ${minimum}`;
  return maximum === undefined ? '' : ` up to ${maximum}`;
}

/** Formats a value for an error message: short, and without the content of lists and objects, which may be deep. */
export function preview(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return value.length > MAX_SHOWN_CHARS ? `a string of ${value.length} characters` : JSON.stringify(value);
}

const MAX_SHOWN_CHARS = 60;

/** Parses a list or object in JSON text; any other value is returned as it is. */
export function asJson(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
