import { KindGuard, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeSchema, preview } from '../core/schema-words.ts';
import { profileSchema } from './profile.ts';

/** What in a file is not as the schema of profiles wants it, a sentence each. */
export function schemaFaults(value: unknown): string[] {
  const faults = new Map<string, string>();
  for (const { path, message, schema, value: given } of Value.Errors(profileSchema, value)) {
    const keys = path.split('/').slice(1);
    const name = keys.join('.');
    if (faults.has(name)) continue;
    const isUnknown = /unexpected property/i.test(message);
    faults.set(name, isUnknown ? unknownKey(name, keys.slice(0, -1)) : wrongValue(name, schema, given));
  }
  return [...faults.values()];
}

function unknownKey(name: string, table: readonly string[]): string {
  const { properties = {} } = schemaAt(table) as { properties?: Record<string, TSchema> };
  const subject = table.length === 0 ? 'a profile' : table[0] === 'rules' ? 'a rule' : table.join('.');
  return `there is no ${name}; ${subject} has ${Object.keys(properties).join(', ')}`;
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

function wrongValue(name: string, schema: TSchema, given: unknown): string {
  const fault = `${name || 'the file'} must be ${describeSchema(schema)}, not ${preview(given)}`;
  const isTable = typeof given === 'object' && given !== null && !Array.isArray(given);
  if (name === 'rules' && isTable) return `${fault}: write [[rules]] above each rule`;
  if (name === 'limits' && Array.isArray(given)) return `${fault}: write [limits]`;
  return fault;
}
