import { closeSessionOperation } from './close-session.ts';
import { demandOperation } from './confinement.ts';
import { killSessionOperation } from './kill-session.ts';
import { listSessionsOperation } from './list-sessions.ts';
import type { Operation } from './operation.ts';
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
      demandOperation(parts.access.profileFor(call.principal), operation.name);
      return operation.invoke(args, call);
    },
  }));
}
