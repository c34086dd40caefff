import type { FileDeps } from '../files/change.ts';
import type { LinkOperationDeps } from '../files/transfers.ts';
import { closeSessionOperation } from './close-session.ts';
import { downloadOperation } from './download.ts';
import { editFileOperation } from './edit-file.ts';
import { killSessionOperation } from './kill-session.ts';
import { listSessionsOperation } from './list-sessions.ts';
import { lookOperation } from './look.ts';
import type { Operation } from './operation.ts';
import { readFileOperation } from './read-file.ts';
import { readSessionOperation } from './read-session.ts';
import { serverInfoOperation } from './server-info.ts';
import { shellOperation } from './shell.ts';
import { undoOperation } from './undo.ts';
import { uploadOperation } from './upload.ts';
import { writeFileOperation } from './write-file.ts';
import { writeSessionOperation } from './write-session.ts';

/** Every operation. Each door is derived from this list. */
export function allOperations(deps: LinkOperationDeps & FileDeps): readonly Operation[] {
  return [
    shellOperation(deps),
    lookOperation(deps),
    readSessionOperation(deps),
    listSessionsOperation(deps),
    writeSessionOperation(deps),
    killSessionOperation(deps),
    closeSessionOperation(deps),
    readFileOperation(deps),
    writeFileOperation(deps),
    editFileOperation(deps),
    undoOperation(deps),
    uploadOperation(deps),
    downloadOperation(deps),
    serverInfoOperation(deps),
  ];
}
