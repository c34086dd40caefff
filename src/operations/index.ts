import { closeSessionOperation } from './close-session.ts';
import type { Operation } from './operation.ts';
import type { OperationParts } from './parts.ts';
import { readSessionOperation } from './read-session.ts';
import { shellOperation } from './shell.ts';

/** Every operation there is. Each door is derived from this list. */
export function allOperations(parts: OperationParts): readonly Operation[] {
  return [shellOperation(parts), readSessionOperation(parts), closeSessionOperation(parts)];
}
