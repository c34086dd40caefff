import { InvalidJson, InvalidOperation } from '../lib/errors.ts';
import { preview } from '../lib/schema-words.ts';
import type { Operation } from '../operations/operation.ts';

/** A call as the body of `POST /` states it. */
export interface RpcCall {
  readonly operation: Operation;
  readonly args: unknown;
}

/** Reads `{"op","args"}`. Throws `InvalidJson` for another shape and `InvalidOperation` for an unknown name. */
export function parseRpc(body: unknown, operations: ReadonlyMap<string, Operation>): RpcCall {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InvalidJson('The body must be a JSON object of the form {"op":"shell","args":{"cmd":"uptime"}}.');
  }
  const op: unknown = 'op' in body ? body.op : undefined;
  const operation = typeof op === 'string' ? operations.get(op) : undefined;
  if (operation === undefined) {
    throw new InvalidOperation(
      `op must be one of ${[...operations.keys()].join(', ')}, ${op === undefined ? 'and is missing' : `not ${preview(op)}`}.`,
    );
  }
  return { operation, args: 'args' in body ? body.args : undefined };
}
