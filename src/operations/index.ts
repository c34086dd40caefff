import { AgentError } from '../core/errors.ts';
import { closeSessionOperation } from './close-session.ts';
import { demandOperation } from './confinement.ts';
import { killSessionOperation } from './kill-session.ts';
import { listSessionsOperation } from './list-sessions.ts';
import type { Call, Operation } from './operation.ts';
import type { OperationParts } from './parts.ts';
import { readSessionOperation } from './read-session.ts';
import { serverInfoOperation } from './server-info.ts';
import { shellOperation } from './shell.ts';
import { writeSessionOperation } from './write-session.ts';

/** Every operation there is. Each door is derived from this list. */
export function allOperations(parts: OperationParts): readonly Operation[] {
  const operations = [
    shellOperation(parts),
    readSessionOperation(parts),
    listSessionsOperation(parts),
    writeSessionOperation(parts),
    killSessionOperation(parts),
    closeSessionOperation(parts),
    serverInfoOperation(parts),
  ];
  return operations.map((operation) => ({
    ...operation,
    invoke: async (args, call) => {
      try {
        demandOperation(parts.access.profileFor(call.principal), operation.name);
        const answer = await operation.invoke(args, call);
        // A command has lines of its own, for its start and its end.
        if (operation.name !== 'shell') parts.trail.operation(operation.name, args, call, undefined);
        return answer;
      } catch (error) {
        noteRefusal(parts, operation.name, args, call, error);
        throw error;
      }
    },
  }));
}

/** What was refused is on record as well; where that cannot be written, the refusal stands all the same. */
function noteRefusal({ trail }: OperationParts, name: string, args: unknown, call: Call, error: unknown): void {
  try {
    trail.operation(
      name,
      args,
      call,
      error instanceof AgentError ? `${error.error}: ${error.hint ?? ''}` : 'a fault of the agent',
    );
  } catch {
    // The agent has told its owner.
  }
}
