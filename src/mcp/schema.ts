import type { TObject } from '@sinclair/typebox';
import { type PlainSchema, plainObject } from '../http/openapi-schema.ts';

/** A schema as JSON Schema has it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The schema of a tool's arguments or result. */
export interface ToolSchema {
  type: 'object';
  properties: Record<string, object>;
  required?: string[];
  [more: string]: unknown;
}

/** The schema of an object as MCP lists it: the plain form that all documents share, in the words of JSON Schema. */
export function toolSchema(schema: TObject): ToolSchema {
  const { properties, required } = plainObject(schema);
  return {
    type: 'object',
    properties: jsonSchemas(properties ?? {}),
    ...(required !== undefined && { required: [...required] }),
  };
}

/** OpenAPI 3.0 says `nullable` where JSON Schema has a second type. */
function jsonSchema({ nullable, properties, items, ...kept }: PlainSchema): JsonSchema {
  return {
    ...kept,
    ...(nullable && { type: [kept.type, 'null'] }),
    ...(properties !== undefined && { properties: jsonSchemas(properties) }),
    ...(items !== undefined && { items: jsonSchema(items) }),
  };
}

function jsonSchemas(schemas: Readonly<Record<string, PlainSchema>>): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, jsonSchema(schema)]));
}
