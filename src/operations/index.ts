import type { Answer, Call } from '../calls/call.ts';
import { roomFor, withForbidden } from '../calls/forbidden-hint.ts';
import type { OperationParts } from '../calls/parts.ts';
import { demandOperation } from '../commands/confinement.ts';
import { AccessLapsed } from '../lib/errors.ts';
import { closeSessionOperation } from './close-session.ts';
import { killSessionOperation } from './kill-session.ts';
import { listSessionsOperation } from './list-sessions.ts';
import type { Operation } from './operation.ts';
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
    invoke: (args, call) => onRecord(parts, operation, args, call),
  }));
}

/** What changes something is on record before it is done, what only reads before its answer leaves; a command has lines of its own. */
async function onRecord(parts: OperationParts, operation: Operation, args: unknown, call: Call): Promise<Answer> {
  const { trail, access } = parts;
  const { name, readOnly, invoke } = operation;
  let hasBegun = false;
  try {
    const profile = access.profileFor(call.principal);
    demandOperation(profile, name);
    if (name !== 'shell' && !readOnly) trail.operation(name, args, call);
    hasBegun = !readOnly;
    const answer = await invoke(args, roomFor(profile, call, parts.limits.maxReplyChars));
    if (name !== 'shell' && readOnly) trail.operation(name, args, call);
    return withForbidden(answer, profile);
  } catch (thrown) {
    const error = lapsedIn(thrown) ? thrown.with(consequenceOf(name, hasBegun)) : thrown;
    trail.refused(name, args, call, error);
    throw error;
  }
}

/** Whether a token or its profile was found to be gone, and nobody has told yet what that means. */
function lapsedIn(error: unknown): error is AccessLapsed {
  return error instanceof AccessLapsed && error.consequence === '';
}

/** What it means for a call that its token or profile is gone: it may be half done by then. */
function consequenceOf(operation: string, hasBegun: boolean): string {
  return hasBegun
    ? ` by now, while ${operation} was under way: what that had begun was not taken back`
    : ', so nothing was done';
}
