import { afterAll, describe, expect, test } from 'bun:test';
import SwaggerParser from '@apidevtools/swagger-parser';
import { Validator } from '@seriousme/openapi-schema-validator';
import { startAgent } from '../../helpers/agent.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { RawConnection } from '../../helpers/sockets.ts';

const agent = await startAgent({ AGENT3_TRUSTED_PROXIES: '127.0.0.1' });
afterAll(() => agent[Symbol.asyncDispose]());

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly [more: string]: unknown;
}

interface Detail {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly 'x-openai-isConsequential': boolean;
  readonly requestBody: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
    >
  >;
  readonly parameters?: unknown;
}

interface Document {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Detail>>>>;
  readonly components: { readonly schemas: unknown; readonly securitySchemes: Readonly<Record<string, unknown>> };
  readonly security: readonly unknown[];
}

const documentOf = async (query = '', headers: Readonly<Record<string, string>> = {}): Promise<Document> => {
  const { status, text } = await agent.request(`/openapi.json${query}`, { headers });
  expect(status).toBe(200);
  return JSON.parse(text) as Document;
};

const flat = await documentOf();
const details = Object.entries(flat.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, detail]) => ({ path, method, detail })),
);

/** Every schema in a document with the way to it. */
function* schemasIn(schema: Schema, path: string): Generator<[path: string, schema: Schema]> {
  yield [path, schema];
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* schemasIn(property, `${path}.${name}`);
  if (schema.items !== undefined) yield* schemasIn(schema.items, `${path}[]`);
}

const requestSchemas = details.flatMap(({ path, detail }) => [
  ...schemasIn(detail.requestBody.content['application/json']?.schema ?? {}, path),
]);
const responseSchemas = details.flatMap(({ path, detail }) =>
  Object.entries(detail.responses).flatMap(([status, { content }]) => [
    ...schemasIn(content['application/json']?.schema ?? {}, `${path} ${status}`),
  ]),
);
const allSchemas = [...requestSchemas, ...responseSchemas];

describe.each(['', '?door=rpc', '?door=docs'])('the document /openapi.json%s', (query) => {
  test('is valid by @seriousme/openapi-schema-validator', async () => {
    const { valid, errors } = await new Validator().validate(
      structuredClone(await documentOf(query)) as unknown as Record<string, unknown>,
    );
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
  });

  test('is valid by @apidevtools/swagger-parser', async () => {
    const document = (await documentOf(query)) as unknown as Parameters<typeof SwaggerParser.validate>[0];
    expect(await SwaggerParser.validate(document)).toBeDefined();
  });
});

/** Each of what ChatGPT's importer demands, refuses or drops. */
describe("ChatGPT's rules:", () => {
  test('a version that it accepts: 3.0 is refused', () => expect(flat.openapi).toBe('3.1.0'));

  test('the object components.schemas', () => expect(flat.components.schemas).toEqual({}));

  test('at most 30 operations', () => expect(details.length).toBeLessThanOrEqual(30));

  test('few characters, of which a model pays for each', () =>
    expect(JSON.stringify(flat).length).toBeLessThanOrEqual(16_000));

  test('one route per operation, by POST', () => {
    expect(details.map(({ path, method }) => `${method} ${path}`).sort()).toEqual(
      [
        'close_session',
        'download',
        'edit_file',
        'kill_session',
        'list_sessions',
        'look',
        'read_file',
        'read_session',
        'server_info',
        'shell',
        'undo',
        'upload',
        'write_file',
        'write_session',
      ].map((name) => `post /${name}`),
    );
  });

  test('an operationId of its own for each: the name of the operation', () => {
    for (const { path, detail } of details) expect(`/${detail.operationId}`).toBe(path);
    for (const { detail } of details) expect(detail.operationId).toMatch(/^[a-z_]{2,60}$/);
  });

  test('one security scheme, with the header X-Auth-Token', () => {
    expect(Object.values(flat.components.securitySchemes)).toEqual([
      { type: 'apiKey', in: 'header', name: 'X-Auth-Token' },
    ]);
    expect(flat.security).toHaveLength(1);
  });

  test('no header parameters, which it ignores', () => {
    for (const { detail } of details) expect(detail.parameters ?? []).toEqual([]);
  });

  test('only application/json', () => {
    for (const { detail } of details) {
      expect(Object.keys(detail.requestBody.content)).toEqual(['application/json']);
      for (const { content } of Object.values(detail.responses))
        expect(Object.keys(content)).toEqual(['application/json']);
    }
  });

  test('summaries and descriptions of at most 300 characters', () => {
    for (const { detail } of details) {
      expect(detail.summary.length).toBeLessThanOrEqual(300);
      expect(detail.description.length).toBeLessThanOrEqual(300);
    }
  });

  test('descriptions of parameters of at most 700 characters, and one for each', () => {
    for (const [path, { description, type }] of requestSchemas) {
      if (type === 'object' || path.endsWith('[]')) continue;
      expect(`${path}: ${(description ?? '').length > 0}`).toBe(`${path}: true`);
      expect(description?.length).toBeLessThanOrEqual(700);
    }
  });

  test('a type for every property', () => {
    for (const [path, { type }] of allSchemas) expect(`${path}: ${typeof type}`).toBe(`${path}: string`);
  });

  test('inline schemas: no $ref, no oneOf, anyOf or allOf', () => {
    expect(JSON.stringify(flat)).not.toMatch(/"\$ref"|"oneOf"|"anyOf"|"allOf"|"patternProperties"/);
  });

  test('no object without properties, which it would drop', () => {
    for (const [path, { type, properties }] of requestSchemas) {
      if (type === 'object' && path.includes('.'))
        expect(`${path} ${Object.keys(properties ?? {}).length > 0}`).toBe(`${path} true`);
    }
    for (const [path, { type, properties }] of allSchemas)
      if (type === 'object') expect(`${path} ${typeof properties}`).toBe(`${path} object`);
    expect(
      flat.paths['/shell']?.['post']?.requestBody.content['application/json']?.schema.properties?.['env'],
    ).toMatchObject({
      type: 'array',
      items: { type: 'string' },
    });
  });

  test('required is what has to be sent, and nothing else', () => {
    const required = Object.fromEntries(
      requestSchemas.filter(([, { type }]) => type === 'object').map(([path, schema]) => [path, schema['required']]),
    );
    expect(required).toEqual({
      '/shell': ['cmd'],
      '/shell.dialog[]': ['expect', 'send'],
      '/look': ['cmd'],
      '/read_session': ['session'],
      '/kill_session': ['session'],
      '/write_session': ['session'],
      // Or a context.
      '/close_session': undefined,
      '/upload': ['path'],
      '/download': ['path'],
      '/read_file': ['path'],
      '/write_file': ['path', 'content'],
      '/edit_file': ['path', 'edits'],
      '/edit_file.edits[]': ['old', 'new'],
      '/undo': undefined,
      '/list_sessions': undefined,
      '/server_info': undefined,
    });
  });

  test('a list says of what', () => {
    for (const [path, { type, items }] of allSchemas) {
      if (type === 'array') expect(`${path} ${typeof items?.type}`).toBe(`${path} string`);
    }
  });

  test('consequential is what changes things, and nothing else', () => {
    const flags = Object.fromEntries(details.map(({ path, detail }) => [path, detail['x-openai-isConsequential']]));
    expect(flags).toEqual({
      '/shell': true,
      '/kill_session': true,
      '/write_session': true,
      '/close_session': true,
      '/upload': true,
      '/download': false,
      '/look': false,
      '/read_session': false,
      '/list_sessions': false,
      '/read_file': false,
      '/write_file': true,
      '/edit_file': true,
      '/undo': true,
      '/server_info': false,
    });
  });

  test('every argument of one server, also those that a hub leaves out', () => {
    const shell = flat.paths['/shell']?.['post']?.requestBody.content['application/json']?.schema.properties;
    expect(Object.keys(shell ?? {})).toEqual(expect.arrayContaining(['rows', 'cols']));
  });

  test('no word of arguments that only MCP has', () => {
    expect(
      flat.paths['/upload']?.['post']?.requestBody.content['application/json']?.schema.properties,
    ).not.toHaveProperty('file');
    expect(flat.paths['/upload']?.['post']?.description).not.toContain('chat');
  });

  test('neutral words', () => {
    expect(JSON.stringify(flat)).not.toMatch(/\b(ONLY|NEVER|MANDATORY|MUST|ALWAYS|IMPORTANT|CRITICAL)\b/);
  });

  test('a response schema for each, and the names of its first fields', () => {
    for (const { detail } of details) {
      const schema = detail.responses['200']?.content['application/json']?.schema;
      expect(Object.keys(schema?.properties ?? {}).length).toBeGreaterThan(0);
    }
    expect(flat.paths['/shell']?.['post']?.responses['200']?.description).toBe(
      'stdout, stderr, exit_code, session, status, duration_ms, …',
    );
  });
});

describe('the servers', () => {
  test('are the one that the request came to', async () => {
    expect(flat.servers).toEqual([{ url: agent.url }]);
  });

  test('are the one that a trusted proxy names', async () => {
    const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'agent.example.org' };
    expect((await documentOf('', headers)).servers).toEqual([{ url: 'https://agent.example.org' }]);
    const odd = { 'x-forwarded-proto': 'javascript', 'x-forwarded-host': 'evil"/><script>' };
    expect((await documentOf('', odd)).servers).toEqual([{ url: agent.url }]);
  });

  test('are the one of the settings', async () => {
    await using named = await startAgent({ AGENT3_PUBLIC_URL: 'https://agent.example.org/' });
    const { text } = await named.request('/openapi.json', { headers: { 'x-forwarded-host': 'other.example' } });
    expect(JSON.parse(text).servers).toEqual([{ url: 'https://agent.example.org' }]);
  });
});

describe('a request without a Host header', () => {
  test.each(['/healthz', '/openapi.json', '/openapi.json?door=rpc'])('has %s answered', async (path) => {
    using connection = await RawConnection.open(agent);
    connection.send(`GET ${path} HTTP/1.0\r\n\r\n`);
    expect(await connection.until(/\r\n\r\n\{/)).toStartWith('HTTP/1.1 200 OK\r\n');
  });
});

describe('the document', () => {
  test('of the page describes every field of an answer and every error', async () => {
    const { paths } = await documentOf('?door=docs');
    const responses = paths['/shell']?.['post']?.responses ?? {};
    expect(Object.keys(responses)).toEqual(['200', '400', '403', '404', '429', '500', '503']);
    expect(responses['200']?.content['application/json']?.schema.properties?.['exit_code']).toMatchObject({
      type: ['integer', 'null'],
      description: expect.any(String),
    });
  });

  test('needs no token, and has no other method', async () => {
    expectRefusal(await agent.request('/openapi.json', { method: 'POST' }), 405, 'Method not allowed');
  });

  test('of the original door names every operation and every argument', async () => {
    const { paths } = await documentOf('?door=rpc');
    const schema = paths['/']?.['post']?.requestBody.content['application/json']?.schema;
    expect(schema?.properties?.['op']).toMatchObject({ enum: expect.arrayContaining(['shell', 'kill_session']) });
    expect(Object.keys(schema?.properties?.['args']?.properties ?? {})).toEqual(
      expect.arrayContaining(['cmd', 'session', 'offset', 'signal', 'background']),
    );
  });
});

describe('env as a list', () => {
  test('is taken as NAME=value', async () => {
    const { stdout } = await agent.shell({ cmd: 'echo "$A|$B|$C"', env: ['A=1', 'B=a=b c', 'C='] });
    expect(stdout).toBe('1|a=b c|\n');
  });

  test('with an entry of another form is refused', async () => {
    for (const env of [['A'], ['=1'], [1], ['A=1', null]]) {
      expectRefusal(
        await agent.call('shell', { cmd: 'true', env }),
        400,
        'Invalid args',
        /env\[\d\] must have the form/,
      );
    }
  });
});
