import { expect } from 'bun:test';
import { within } from './waiting.ts';

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

interface Document {
  readonly servers: readonly { readonly url: string }[];
  readonly components: { readonly securitySchemes: Readonly<Record<string, { readonly name: string }>> };
  readonly paths: Readonly<
    Record<
      string,
      Record<
        string,
        {
          readonly operationId: string;
          readonly requestBody: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
        }
      >
    >
  >;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: Schema;
}

/** ChatGPT Actions: 45 s round trip, answers under 100,000 characters. */
const ROUND_TRIP_MS = 45_000;
const MOST_CHARS = 100_000;

/** An answer that ChatGPT would have thrown away: the model never sees it. */
export class LostAnswer extends Error {}

/**
 * ChatGPT's side of an Action, as strict as it is: it knows the server from its OpenAPI document alone, sends only what
 * that names, and drops what comes late, is too long or is no `application/json`.
 */
export class ActionsClient {
  private constructor(
    private readonly origin: string,
    private readonly header: Readonly<Record<string, string>>,
    readonly calls: ReadonlyMap<string, Call>,
  ) {}

  /** Reads the document at `url`, as the importer does. */
  static async import(url: string, token: string): Promise<ActionsClient> {
    const document = (await (await fetch(url)).json()) as Document;
    const [scheme] = Object.values(document.components.securitySchemes);
    const calls = new Map<string, Call>();
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { operationId, requestBody }] of Object.entries(methods)) {
        const body = requestBody.content['application/json']?.schema ?? {};
        calls.set(operationId, { method: method.toUpperCase(), path, body });
      }
    }
    return new ActionsClient(document.servers[0]?.url ?? '', { [String(scheme?.name)]: token }, calls);
  }

  /** Calls an operation. Throws `LostAnswer` for one that ChatGPT would drop, and for arguments it would not send. */
  async call(operationId: string, args: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
    const { status, body } = await this.send(operationId, args);
    expect({ operationId, status, body }).toMatchObject({ status: 200 });
    return body;
  }

  /** The same, whatever the status. */
  async send(
    operationId: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const call = this.calls.get(operationId);
    if (call === undefined) throw new Error(`the document names no ${operationId}`);
    check(operationId, call.body, args);
    const answer = await within(`the answer of ${operationId}`, this.#fetch(call, args), ROUND_TRIP_MS);
    if (answer.text.length >= MOST_CHARS) throw new LostAnswer(`${operationId}: ${answer.text.length} characters`);
    const [type] = (answer.type ?? '').split(';');
    if (type !== 'application/json') throw new LostAnswer(`${operationId}: ${answer.type}`);
    return { status: answer.status, body: JSON.parse(answer.text) };
  }

  async #fetch({ method, path }: Call, args: unknown): Promise<{ status: number; type: string | null; text: string }> {
    const response = await fetch(this.origin + path, {
      method,
      headers: { ...this.header, 'content-type': 'application/json' },
      body: JSON.stringify(args),
    });
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  }
}

/** Throws for what the schema does not name: the model cannot send it. */
function check(path: string, schema: Schema, value: unknown): void {
  if (schema.enum !== undefined) expect(schema.enum).toContain(value);
  switch (schema.type) {
    case 'object':
      for (const name of schema.required ?? []) expect(value).toHaveProperty(name);
      for (const [name, inner] of Object.entries(value as object)) {
        const property = schema.properties?.[name];
        if (property === undefined) throw new Error(`the document names no ${path}.${name}`);
        check(`${path}.${name}`, property, inner);
      }
      return;
    case 'array':
      for (const item of value as unknown[]) check(`${path}[]`, schema.items ?? {}, item);
      return;
    default:
      expect({ path, type: schema.type === 'integer' ? 'number' : schema.type }).toEqual({ path, type: typeof value });
  }
}
