import { KindGuard, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeSchema, preview } from '../lib/schema-words.ts';
import { profileSchema } from './profile.ts';

/** What in a file is not as the schema of profiles wants it, a sentence each. */
export function schemaFaults(value: unknown): string[] {
  const faults = new Map<string, string>();
  for (const { path, message, schema, value: given } of Value.Errors(profileSchema, value)) {
    if (faults.has(path)) continue;
    const keys = path.split('/').slice(1);
    const isUnknown = /unexpected property/i.test(message);
    faults.set(path, isUnknown ? unknownKey(keys) : wrongValue(keys, schema, given));
  }
  return [...faults.values()];
}

/** A rule by its number from 1, as decisions have it, and what of it; of all else the keys. */
function nameOf(keys: readonly string[]): { readonly before: string; readonly name: string } {
  const [table, index, ...rest] = keys;
  if (table !== 'rules' || index === undefined) return { before: '', name: keys.join('.') || 'the file' };
  const rule = `rule ${Number(index) + 1}`;
  return rest.length === 0 ? { before: '', name: rule } : { before: `${rule}: `, name: rest.join('.') };
}

function unknownKey(keys: readonly string[]): string {
  const table = keys.slice(0, -1);
  const { properties = {} } = schemaAt(table) as { properties?: Record<string, TSchema> };
  const subject = table.length === 0 ? 'a profile' : table[0] === 'rules' ? 'a rule' : table.join('.');
  const { before, name } = nameOf(keys);
  return `${before}there is no ${name}; ${subject} has ${Object.keys(properties).join(', ')}`;
}

/** The schema of what lies behind these keys. */
function schemaAt(keys: readonly string[]): TSchema {
  let schema: TSchema = profileSchema;
  for (const key of keys) {
    const inner: TSchema | undefined = KindGuard.IsArray(schema) ? schema.items : schema['properties']?.[key];
    if (inner === undefined) return schema;
    schema = inner;
  }
  return schema;
}

function wrongValue(keys: readonly string[], schema: TSchema, given: unknown): string {
  const { before, name } = nameOf(keys);
  const fault = `${before}${name} must be ${describeSchema(schema)}, not ${preview(given)}`;
  const isTable = typeof given === 'object' && given !== null && !Array.isArray(given);
  if (name === 'rules' && isTable) return `${fault}: write [[rules]] above each rule`;
  if (name === 'limits' && Array.isArray(given)) return `${fault}: write [limits]`;
  return fault;
}
