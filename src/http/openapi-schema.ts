import { KindGuard, OptionalKind, type TObject, type TSchema } from '@sinclair/typebox';

/** A schema as OpenAPI 3.0 has it, of the plain kind that every importer reads: no `oneOf`, no `$ref`. */
export interface PlainSchema {
  readonly type: string;
  readonly description?: string;
  readonly nullable?: true;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, PlainSchema>>;
  readonly required?: readonly string[];
  readonly items?: PlainSchema;
  readonly [more: string]: unknown;
}

/** Keywords that go over as they are. */
const KEPT = ['description', 'default', 'minimum', 'maximum', 'minLength', 'maxLength', 'pattern'] as const;

/** A TypeBox schema in the plain kind. Throws for one that has no plain form. */
export function plainSchema(schema: TSchema): PlainSchema {
  const kept = Object.fromEntries(KEPT.filter((key) => isWorthKeeping(schema[key])).map((key) => [key, schema[key]]));
  if (KindGuard.IsUnion(schema)) return { ...plainUnion(schema.anyOf), ...kept };
  if (KindGuard.IsLiteral(schema)) return { type: typeof schema.const, enum: [schema.const], ...kept };
  if (KindGuard.IsArray(schema)) return { type: 'array', items: plainSchema(schema.items), ...kept };
  if (KindGuard.IsObject(schema)) return { ...plainObject(schema), ...kept };
  for (const type of ['string', 'integer', 'number', 'boolean'] as const) {
    if (schema['type'] === type) return { type, ...kept };
  }
  throw new Error(`no plain form of ${JSON.stringify(schema)}`);
}

/** The safe integers are no limit that a reader needs. */
function isWorthKeeping(value: unknown): boolean {
  return value !== undefined && value !== Number.MAX_SAFE_INTEGER && value !== Number.MIN_SAFE_INTEGER;
}

function plainUnion(members: readonly TSchema[]): PlainSchema {
  const [first] = members;
  if (members.every((member) => KindGuard.IsLiteral(member))) {
    const values = members.map((member) => member['const'] as unknown);
    return { type: typeof values[0], enum: values };
  }
  if (first !== undefined && members.length === 2 && members[1]?.['type'] === 'null') {
    return { ...plainSchema(first), nullable: true };
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
export function exampleOf(schema: TObject): Readonly<Record<string, unknown>> {
  const { required = [] } = plainObject(schema);
  return Object.fromEntries(required.map((name) => [name, schema.properties[name]?.['examples']?.[0] ?? '']));
}
