import type { Static, TObject, TSchema } from '@sinclair/typebox';
import {
  type Answer,
  type Call,
  type CallContext,
  type CallDeps,
  underPolicy,
  withForbidden,
} from '../calls/context.ts';
import { argumentParser } from './arguments.ts';

/** What every door is derived from: a name, texts for the model, schemas, and what it does. */
export interface Operation {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: TObject;
  readonly result: TObject;
  /** It changes nothing: a person may allow it once and for all. */
  readonly readOnly: boolean;
  /** Arguments that are files which ChatGPT hands over (OpenAI's Apps SDK, `openai/fileParams`). */
  readonly files: readonly string[];
  /** It may stop, change or delete what is there: a person should look before it runs. */
  readonly mayDestroy: boolean;
  /** Whether this machine has what it needs: documents and lists of tools leave it out otherwise, and it answers 503. */
  isOffered(): Promise<boolean>;
  /** What that was when it was asked last; true as long as nobody has. */
  wasOffered(): boolean;
  /** Lets the call pass the policy, checks `args` and runs. Throws an `AgentError` when the call is refused. */
  invoke(args: unknown, call: Call): Promise<Answer>;
}

/** An operation as its file states it. */
export interface OperationDefinition<Args extends TObject> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly args: Args;
  readonly result: TObject;
  /** It stops or deletes something: an unknown argument is refused, because a misspelt one must not delete. */
  readonly destructive: boolean;
  readonly readOnly: boolean;
  /** See `Operation`; by default none. */
  readonly files?: readonly string[];
  /** It writes its own lines of the record. */
  readonly recordsItself?: boolean;
  /** Whether this machine has what it needs; undefined: every machine has. */
  isOffered?(): Promise<boolean>;
  /** Arguments in another form than `args` states, brought into that one before they are checked. */
  normalize?(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** The form of an argument that documents show, where importers do not take the one of `args`. */
  readonly documented?: Readonly<Record<string, TSchema>>;
  /** A look at the raw arguments before the schema, for errors with a text of their own. */
  precheck?(args: Readonly<Record<string, unknown>>): void;
  /** `ignored` names arguments that it does not know, for `message`; undefined where there was none. */
  run(args: Static<Args>, context: CallContext, ignored: string | undefined): Promise<Answer>;
}

/** Turns a definition into an operation: the schema is compiled once, arguments are checked at this edge and trusted inside. */
export function defineOperation<Args extends TObject>(
  deps: CallDeps,
  definition: OperationDefinition<Args>,
): Operation {
  const { name, summary, description, args, result, readOnly, recordsItself = false, documented = {} } = definition;
  const parse = argumentParser(definition);
  const recorded = recordsItself ? 'by itself' : readOnly ? 'after' : 'before';
  let wasOffered = true;
  const subject = { name, needs: name, readOnly, recorded } as const;
  return {
    name,
    summary,
    description,
    args: Object.keys(documented).length === 0 ? args : { ...args, properties: { ...args.properties, ...documented } },
    result,
    readOnly,
    files: definition.files ?? [],
    // What is not read-only runs commands, which may do anything, or is destructive by itself.
    mayDestroy: definition.destructive || !readOnly,
    isOffered: async () => {
      wasOffered = (await definition.isOffered?.()) ?? true;
      return wasOffered;
    },
    wasOffered: () => wasOffered,
    invoke: (raw, call) =>
      underPolicy(deps, subject, raw, call, async (context) => {
        const { value, ignored } = parse(raw);
        return withForbidden(await definition.run(value, context, ignored), context.profile);
      }),
  };
}

/** Those of `operations` that this machine has what they need for. */
export async function offered(operations: readonly Operation[]): Promise<Operation[]> {
  const isOffered = await Promise.all(operations.map((operation) => operation.isOffered()));
  return operations.filter((_, index) => isOffered[index]);
}
