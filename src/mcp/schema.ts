import type { Tool } from '@modelcontextprotocol/server';
import type { TObject } from '@sinclair/typebox';
import { type PlainSchema, plainObject } from '../http/openapi-schema.ts';

/** The schema of a tool's arguments, as MCP lists it: the plain form that all documents share, in the words of JSON Schema. */
export function toolSchema(schema: TObject): Tool['inputSchema'] {
  const { properties = {}, required } = plainObject(schema);
  const plain = { properties: jsonSchemas(properties), required };
  // By way of its text, what is only read here becomes the client's own.
  return { type: 'object', ...JSON.parse(JSON.stringify(plain)) };
}

type JsonSchema = Readonly<Record<string, unknown>>;

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
