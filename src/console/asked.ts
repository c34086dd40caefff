import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { WireRefusal } from './channel.ts';

/** What the console asked. Throws `WireRefusal`. */
export function readAsked<T extends TSchema>(schema: T, args: unknown): Static<T> {
  if (Value.Check(schema, args)) return args;
  const { path = '', message = '' } = Value.Errors(schema, args).First() ?? {};
  throw new WireRefusal('BadRequest', `${path} ${message}`.trim());
}
