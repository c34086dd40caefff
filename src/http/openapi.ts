import { KindGuard, OptionalKind, type TObject, type TSchema } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Operation } from '../operations/operation.ts';
import { urlOf } from './exchange.ts';

/** The API that a document describes: one route per operation, the same for the page `/docs`, or `POST /` of the original. */
export type Door = 'flat' | 'docs' | 'rpc';

/** Returns the API that the query of `/openapi.json` asks for. */
export function doorOf(url: string): Door {
  const asked = urlOf(url).searchParams.get('door');
  return asked === 'rpc' || asked === 'docs' ? asked : 'flat';
}

type Document = Readonly<Record<string, unknown>>;

const SPEC_PATH = '/openapi.json';

const ERROR: PlainSchema = {
  type: 'object',
  properties: {
    error: { type: 'string', description: 'Name of the error.' },
    message: { type: 'string', description: 'What happened, and what to do.' },
  },
  required: ['error'],
};

/** Importers drop an answer whose schema has no property. */
const ANSWER: PlainSchema = { type: 'object', properties: { message: { type: 'string' } } };

const SECURITY = 'token';

/** ChatGPT's importer accepts only 3.1.0 and 3.1.1, and needs the object `schemas` even when it is empty. */
const OPENAPI_VERSION = '3.1.0';

/** Notes at the top: the page links to the document for a GPT, which describes errors once. */
const NOTES: Readonly<Record<Door, string>> = {
  docs: ' For a GPT, import [openapi.json](openapi.json).',
  flat: ' A refusal has error and message, which says what to do instead.',
  rpc: '',
};

/** Makes the OpenAPI document of an API without its `servers`, by the swagger plugin from the list of operations. */
export async function openApiDocument(
  operations: readonly Operation[],
  door: Door,
  version: string,
): Promise<Document> {
  // Loaded on the first request, to save time and memory at the start of the agent.
  const { swagger } = await import('@elysiajs/swagger');
  const app = new Elysia().use(
    swagger({
      specPath: SPEC_PATH,
      documentation: {
        info: {
          title: 'Agent3',
          version,
          description: `A shell on a Linux server.${NOTES[door]}`,
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
        detail: (door === 'docs' ? pageDetail(operation) : flatDetail(operation, operations)) as object,
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

/** Reduces texts and schemas for ChatGPT's importer. A model reads all of it, so answers have only names of fields. */
function flatDetail(operation: Operation, all: readonly Operation[]): Document {
  const { name, summary, description, args, files, readOnly, isBrief } = operation;
  // Actions cannot pass files in this form.
  const properties = Object.fromEntries(Object.entries(args.properties).filter(([of]) => !files.includes(of)));
  return {
    operationId: name,
    summary,
    description,
    // A person may always allow what only reads, and confirms the rest.
    'x-openai-isConsequential': !readOnly,
    requestBody: body(listedArguments({ args: { ...args, properties }, isBrief })),
    responses: { 200: json(fieldNames(operation, all), ANSWER) },
  };
}

/** Most fields to name: an answer shows the others itself. */
const MOST_NAMES = 6;

/** Names the first fields of an answer, or the first operation that answers with the same. */
function fieldNames({ name, result }: Operation, all: readonly Operation[]): string {
  const names = firstNames(result);
  const same = all.find((one) => firstNames(one.result) === names);
  return same === undefined || same.name === name ? names : `As ${same.name}.`;
}

function firstNames({ properties }: TObject): string {
  // The schema names the message.
  const names = Object.keys(properties).filter((name) => name !== 'message');
  return [...names.slice(0, MOST_NAMES), ...(names.length > MOST_NAMES ? ['…'] : [])].join(', ');
}

/** Describes every field, with an example body, for a person who tries the operation. */
function pageDetail(operation: Operation): Document {
  const schema = plainObject(operation.args);
  return {
    ...flatDetail(operation, [operation]),
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
    400: json('The call is wrong; message says what to do.', ERROR),
    403: json('The token is missing or wrong, or its profile does not allow the call.', ERROR),
    404: json('There is no such session.', ERROR),
    429: json('Too many calls; Retry-After says when to repeat.', ERROR),
    500: json('A bug of Agent3; see the log of the server.', ERROR),
    503: json('Something that the call needs is missing on the server; message says what.', ERROR),
  };
}

function json(description: string, schema: PlainSchema): Document {
  return { description, content: { 'application/json': { schema } } };
}

/** Returns the URL that a client used, for `servers`; behind a trusted proxy, the URL that the proxy names. */
export function requestOrigin(url: string, headers: Headers, isFromProxy: boolean): string {
  const { protocol, host } = urlOf(url);
  const named = isFromProxy ? headers.get('x-forwarded-host') : null;
  const scheme = isFromProxy ? headers.get('x-forwarded-proto') : null;
  const isHost = named !== null && /^[A-Za-z0-9.:[\]-]{1,255}$/.test(named);
  const isScheme = scheme === 'https' || scheme === 'http';
  return `${isScheme ? `${scheme}:` : protocol}//${isHost ? named : host}`;
}

/** A JSON Schema of OpenAPI 3.1 and MCP that every importer can read: no `oneOf`, no `$ref`. */
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

/** Left out: a call with a wrong text gets an error, so models need not read these limits each time. */
const KEPT = ['description', 'default', 'maximum'] as const;

/** Converts a TypeBox schema. Throws for one that has no plain form. */
function plainSchema(schema: TSchema): PlainSchema {
  // A default that is the maximum says both.
  const given = schema['maximum'] === schema['default'] ? { ...schema, maximum: undefined } : schema;
  const kept = Object.fromEntries(KEPT.filter((key) => isWorthKeeping(given[key])).map((key) => [key, given[key]]));
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

/** Leaves out empty defaults and the largest integer as a limit, which say nothing. */
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

/** Converts the arguments of an operation for lists that a model reads as a whole and pays for by the character. */
export function listedArguments({ args, isBrief }: Pick<Operation, 'args' | 'isBrief'>): PlainSchema {
  const listed = Object.entries(args.properties).filter(([, schema]) => !(isBrief && schema['seldom'] === true));
  return plainObject({ ...args, properties: Object.fromEntries(listed) });
}

/** Converts an object. Properties that are optional or have a default are not required. */
function plainObject({ properties }: TObject): PlainSchema {
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

/** Returns an object with the required arguments, each with its first example. */
function exampleOf(schema: TObject): Readonly<Record<string, unknown>> {
  const { required = [] } = plainObject(schema);
  return Object.fromEntries(required.map((name) => [name, schema.properties[name]?.['examples']?.[0] ?? '']));
}
