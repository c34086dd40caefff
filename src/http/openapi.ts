import { KindGuard, OptionalKind, type TObject, type TSchema } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Operation } from '../operations/operation.ts';
import { urlOf } from './exchange.ts';

/** Which door a document describes: one route per operation, the same as the page `/docs` takes it, or `POST /` of the original. */
export type Door = 'flat' | 'docs' | 'rpc';

/** The door that the query of `/openapi.json` asks for. */
export function doorOf(url: string): Door {
  const asked = urlOf(url).searchParams.get('door');
  return asked === 'rpc' || asked === 'docs' ? asked : 'flat';
}

type Document = Readonly<Record<string, unknown>>;

const SPEC_PATH = '/openapi.json';

const ERROR: PlainSchema = {
  type: 'object',
  properties: {
    error: { type: 'string', description: 'What is wrong, in two words.' },
    message: { type: 'string', description: 'What to do instead.' },
  },
  required: ['error'],
};

/** An importer drops an answer whose schema has no property. */
const ANSWER: PlainSchema = { type: 'object', properties: { message: { type: 'string' } } };

const SECURITY = 'token';

/** ChatGPT's importer takes 3.1.0 and 3.1.1 alone, and wants the object `schemas` even where nothing is in it. */
const OPENAPI_VERSION = '3.1.0';

/** What stands at the head: the page links to its own document; the one for ChatGPT says once what an error is. */
const NOTES: Readonly<Record<Door, string>> = {
  docs: ' For a GPT, import [openapi.json](openapi.json).',
  flat: ' A refusal has error and message, which says what to do instead.',
  rpc: '',
};

/** The OpenAPI document of a door, without its `servers`: made by the swagger plugin from the list of operations. */
export async function openApiDocument(
  operations: readonly Operation[],
  door: Door,
  version: string,
): Promise<Document> {
  // Loaded when it is first asked for: it costs the start of the agent time and memory.
  const { swagger } = await import('@elysiajs/swagger');
  const app = new Elysia().use(
    swagger({
      specPath: SPEC_PATH,
      documentation: {
        info: {
          title: 'Agent3',
          version,
          description: `A shell on a Linux server: run commands, read their output, and look after what still runs.${NOTES[door]}`,
        },
        components: {
          securitySchemes: { [SECURITY]: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' } },
        },
        security: [{ [SECURITY]: [] }],
      },
    }),
  );
  // The plugin reads routes; these are never called.
  if (door === 'rpc') app.post('/', () => '', { detail: rpcDetail(operations) as object });
  else
    for (const operation of operations)
      app.post(`/${operation.name}`, () => '', {
        detail: (door === 'docs' ? pageDetail(operation) : flatDetail(operation)) as object,
      });
  await app.modules;
  const answer = await app.handle(new Request(`http://localhost${SPEC_PATH}`));
  const { info, paths, components } = (await answer.json()) as Record<string, unknown>;
  const { securitySchemes } = components as Record<string, unknown>;
  return {
    openapi: OPENAPI_VERSION,
    info,
    paths,
    components: { schemas: {}, securitySchemes },
    security: [{ [SECURITY]: [] }],
  };
}

/** Texts and schemas as ChatGPT's importer takes them. A model reads all of it, so an answer's fields are names alone. */
function flatDetail({ name, summary, description, args, files, result, readOnly }: Operation): Document {
  // Actions hand no files over in this form.
  const properties = Object.fromEntries(Object.entries(args.properties).filter(([of]) => !files.includes(of)));
  return {
    operationId: name,
    summary,
    description,
    // A person may allow for good what only reads, and confirms the rest.
    'x-openai-isConsequential': !readOnly,
    requestBody: body(plainObject({ ...args, properties })),
    responses: { 200: json(fieldNames(result), ANSWER) },
  };
}

/** An answer shows its other fields by itself. */
const MOST_NAMES = 6;

/** The first fields of an answer, by name. */
function fieldNames({ properties }: TObject): string {
  const names = Object.keys(properties);
  return [...names.slice(0, MOST_NAMES), ...(names.length > MOST_NAMES ? ['…'] : [])].join(', ');
}

/** For a person who tries the operation out: every field described, and a body to begin with. */
function pageDetail(operation: Operation): Document {
  const schema = plainObject(operation.args);
  return {
    ...flatDetail(operation),
    tags: ['operations'],
    requestBody: { required: true, content: { 'application/json': { schema, example: exampleOf(operation.args) } } },
    responses: responses(plainObject(operation.result)),
  };
}

function rpcDetail(operations: readonly Operation[]): Document {
  const properties = Object.assign({}, ...operations.map(({ args }) => plainObject(args).properties));
  const results = Object.assign({}, ...operations.map(({ result }) => plainObject(result).properties));
  const call: PlainSchema = {
    type: 'object',
    properties: {
      op: { type: 'string', enum: operations.map(({ name }) => name), description: 'The operation to call.' },
      args: { type: 'object', description: 'The arguments of that operation.', properties },
    },
    required: ['op'],
  };
  return {
    operationId: 'call',
    summary: 'Call an operation',
    description: operations.map(({ name, summary }) => `${name}: ${summary}.`).join(' '),
    'x-openai-isConsequential': true,
    requestBody: body(call),
    responses: responses({ type: 'object', properties: results }),
  };
}

function body(schema: PlainSchema): Document {
  return { required: true, content: { 'application/json': { schema } } };
}

function responses(schema: PlainSchema): Document {
  return {
    200: json('The answer.', schema),
    400: json('The call is wrong; message says what to do instead.', ERROR),
    403: json('The token is missing or wrong, or its profile does not allow the call.', ERROR),
    404: json('No such session.', ERROR),
    429: json('Too many calls; Retry-After says when to repeat.', ERROR),
    500: json('A bug of Agent3; the log of the server has it.', ERROR),
    503: json('What the call needs is missing on the server; message says what.', ERROR),
  };
}

function json(description: string, schema: PlainSchema): Document {
  return { description, content: { 'application/json': { schema } } };
}

/** The URL that a client used, for `servers`: behind a trusted proxy the one that it names. */
export function requestOrigin(url: string, headers: Headers, isFromProxy: boolean): string {
  const { protocol, host } = urlOf(url);
  const named = isFromProxy ? headers.get('x-forwarded-host') : null;
  const scheme = isFromProxy ? headers.get('x-forwarded-proto') : null;
  const isHost = named !== null && /^[A-Za-z0-9.:[\]-]{1,255}$/.test(named);
  const isScheme = scheme === 'https' || scheme === 'http';
  return `${isScheme ? `${scheme}:` : protocol}//${isHost ? named : host}`;
}

/** A JSON Schema, as OpenAPI 3.1 and MCP have it, of the plain kind that every importer reads: no `oneOf`, no `$ref`. */
export interface PlainSchema {
  readonly type: string | readonly [string, 'null'];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, PlainSchema>>;
  readonly required?: readonly string[];
  readonly items?: PlainSchema;
  readonly [more: string]: unknown;
}

/** Whoever sends what a text may not be is told so: a model need not read it before each call. */
const KEPT = ['description', 'default', 'maximum'] as const;

/** A TypeBox schema in the plain kind. Throws for one that has no plain form. */
function plainSchema(schema: TSchema): PlainSchema {
  const kept = Object.fromEntries(KEPT.filter((key) => isWorthKeeping(schema[key])).map((key) => [key, schema[key]]));
  if (KindGuard.IsUnion(schema)) return { ...plainUnion(schema.anyOf), ...kept };
  if (KindGuard.IsLiteral(schema)) return { type: typeof schema.const, enum: [schema.const], ...kept };
  if (KindGuard.IsArray(schema)) return { type: 'array', items: plainSchema(schema.items), ...kept };
  if (KindGuard.IsObject(schema)) return { ...plainObject(schema), ...kept };
  if (KindGuard.IsRecord(schema)) return { type: 'object', additionalProperties: true, ...kept };
  for (const type of ['string', 'integer', 'number', 'boolean'] as const) {
    if (schema['type'] === type) return { type, ...kept };
  }
  throw new Error(`no plain form of ${JSON.stringify(schema)}`);
}

/** An empty default says nothing, nor does the largest integer as a limit. */
function isWorthKeeping(value: unknown): boolean {
  const isEmpty = Array.isArray(value) && value.length === 0;
  return Boolean(value) && !isEmpty && value !== Number.MAX_SAFE_INTEGER;
}

function plainUnion(members: readonly TSchema[]): PlainSchema {
  const [first] = members;
  if (members.every((member) => KindGuard.IsLiteral(member))) {
    const values = members.map((member) => member['const'] as unknown);
    return { type: typeof values[0], enum: values };
  }
  if (first !== undefined && members.length === 2 && members[1]?.['type'] === 'null') {
    const plain = plainSchema(first);
    return { ...plain, type: [String(plain.type), 'null'] };
  }
  throw new Error(`no plain form of ${JSON.stringify(members)}`);
}

/** An object with its properties; those that are optional or have a default need not be sent. */
export function plainObject({ properties }: TObject): PlainSchema {
  const entries = Object.entries(properties);
  const required = entries
    .filter(([, schema]) => schema[OptionalKind] === undefined && schema['default'] === undefined)
    .map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name, plainSchema(schema)])),
    ...(required.length > 0 && { required }),
  };
}

/** An object with the arguments that must be sent, each with the first of its examples. */
function exampleOf(schema: TObject): Readonly<Record<string, unknown>> {
  const { required = [] } = plainObject(schema);
  return Object.fromEntries(required.map((name) => [name, schema.properties[name]?.['examples']?.[0] ?? '']));
}
