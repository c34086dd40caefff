import { Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import type { Answer, CallContext } from '../calls/context.ts';
import { approvable, askAPerson } from '../files/ask.ts';
import { requireReadable } from '../files/decide.ts';
import type { Download } from '../files/download.ts';
import { waitingFields } from '../files/fields.ts';
import { openIsolatedSource } from '../files/isolated-files.ts';
import { openOwnSource } from '../files/own-files.ts';
import { shownPath } from '../files/place.ts';
import { tooLarge } from '../files/transfer.ts';
import { LINK_SECONDS, type LinkOperationDeps } from '../files/transfers.ts';
import { Conflict } from '../lib/errors.ts';
import { ALLOWED, type Decision } from '../rules/rule.ts';
import { defineOperation, type Operation } from './operation.ts';
import { openAllowed } from './transfer-path.ts';

/** Hashing a larger file would delay the answer by more than 0.2 s. */
const HASHED_AT_ONCE_BYTES = 134_217_728;

/** `download`: returns a link that reads one file, so that its bytes do not pass through the model. */
export function downloadOperation(deps: LinkOperationDeps): Operation {
  return defineOperation(deps, {
    name: 'download',
    summary: 'Download a file',
    description: 'Makes a secret link that sends one file once, without a token, for ten minutes: curl -fo FILE URL.',
    args: Type.Object({ path: Type.String({ minLength: 1, description: 'Absolute.' }) }),
    result: Type.Object({
      url: Type.String({ description: 'The link.' }),
      bytes: Type.Optional(Type.Integer({ description: 'Size of the file.' })),
      mode: Type.Optional(Type.String({ description: 'Its permissions, such as 644.' })),
      sha256: Type.Optional(Type.String({ description: 'SHA-256, in hexadecimal digits.' })),
      expires_seconds: Type.Optional(Type.Integer({ description: 'The link ends after this time.' })),
      ...waitingFields,
      message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
    }),
    destructive: false,
    readOnly: true,
    // Over standard input and output, the agent has no port.
    isOffered: async () => deps.transfers.baseUrl !== undefined,
    run: async ({ path }, context, ignored) => {
      const { transfers } = deps;
      const most = transfers.deps.maxTransferBytes;
      let decision: Decision = ALLOWED;
      const { url, transfer } = await transfers.download({ ...context, path }, async () => {
        const opened = await openAllowed(deps, context, path, {
          judge: async (paths) => approvable(deps, await requireReadable(context, paths)),
          openOwn: () => openOwnSource(path),
          openIsolated: (start) => openIsolatedSource(start, path),
        });
        ({ decision } = opened);
        if (opened.file.bytes <= most) return opened.file;
        opened.file.close();
        throw tooLarge(most);
      });
      if (decision.action === 'confirm') return { url, ...askFirst(deps, context, decision, transfer) };
      const isSmall = transfer.bytes <= HASHED_AT_ONCE_BYTES;
      const sha256 = isSmall ? await transfer.sha256(() => context.deadline.before(1).passed) : undefined;
      const later = 'HEAD of the link returns its SHA-256 in Repr-Digest, until ten minutes after the download.';
      return {
        url,
        bytes: transfer.bytes,
        mode: transfer.source.mode.toString(8).padStart(3, '0'),
        ...(sha256 !== undefined && { sha256 }),
        expires_seconds: LINK_SECONDS,
        ...messageOf(sha256 === undefined ? later : undefined, ignored),
      };
    },
  });
}

/** Asks a person: before the approval, the link delivers nothing of the file, and nothing is said about it. */
function askFirst(deps: LinkOperationDeps, context: CallContext, decision: Decision, transfer: Download): Answer {
  transfer.isHeld = true;
  try {
    const cmd = `download ${shownPath(transfer.source.path)}`;
    return askAPerson(deps, context, decision, cmd, undefined, async () => {
      if (transfer.over.fired) throw new Conflict('its link has ended: ask for a new one');
      transfer.isHeld = false;
      return { message: 'The link delivers the file now.' };
    });
  } catch (error) {
    transfer.end();
    throw error;
  }
}
