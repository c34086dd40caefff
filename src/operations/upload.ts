import { Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import type { CallContext } from '../calls/context.ts';
import { approvable, askAPerson } from '../files/ask.ts';
import { chatFile } from '../files/chat-file.ts';
import { requireWritable } from '../files/decide.ts';
import { modeOf, waitingFields } from '../files/fields.ts';
import { openIsolatedSink } from '../files/isolated-files.ts';
import { openOwnSink } from '../files/own-files.ts';
import { shownPath } from '../files/place.ts';
import { LINK_SECONDS, type LinkOperationDeps } from '../files/transfers.ts';
import type { AskAboutUpload, Upload } from '../files/upload.ts';
import { OperationNotAllowed } from '../lib/errors.ts';
import { ALLOWED, type Decision } from '../rules/rule.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';
import { openAllowed } from './transfer-path.ts';

/** The mode of a new file. */
const NEW_MODE = 0o644;
/** Time that an answer needs after the bytes of a fetched file: to replace the file. */
const COMMIT_SECONDS = 3;

/**
 * `upload`: returns a link that writes one file, so that its bytes do not pass through the model, or fetches it from a
 * chat.
 */
export function uploadOperation(deps: LinkOperationDeps): Operation {
  return defineOperation(deps, {
    name: 'upload',
    summary: 'Upload a file',
    description: 'Makes a link that takes one file, without a token, for ten minutes: curl -fT FILE URL.',
    args: uploadArguments,
    result: Type.Object({
      url: Type.Optional(Type.String({ description: 'The link.' })),
      max_bytes: Type.Optional(Type.Integer({ description: 'Largest size of the file.' })),
      expires_seconds: Type.Optional(Type.Integer({ description: 'The link ends after this time.' })),
      ...waitingFields,
      bytes: Type.Optional(Type.Integer({ description: 'With file: its size.' })),
      sha256: Type.Optional(Type.String({ description: 'With file: its hash, in hexadecimal digits.' })),
      message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
    }),
    destructive: true,
    readOnly: false,
    files: ['file'],
    // Over standard input and output, the agent has no port.
    isOffered: async () => deps.transfers.baseUrl !== undefined,
    run: async ({ path, mode, file }, context, ignored) => {
      if (file !== undefined) requireNetwork(context);
      const { transfers } = deps;
      const bits = modeOf(mode) ?? NEW_MODE;
      let decision: Decision = ALLOWED;
      const { url, transfer } = await transfers.upload({ ...context, path }, async () => {
        const opened = await openAllowed(deps, context, path, {
          judge: async (paths) => approvable(deps, await requireWritable(context, 'upload', paths)),
          openOwn: () => openOwnSink(path, bits),
          openIsolated: (start, isSandboxed) => openIsolatedSink(start, isSandboxed, path, bits),
        });
        ({ decision } = opened);
        return opened.file;
      });
      if (decision.action === 'confirm') transfer.ask = askAbout(deps, context, decision, transfer.sink.path, mode);
      if (file !== undefined)
        return { ...(await fetchInto(transfer, file.download_url, context)), ...messageOf(ignored) };
      return { url, max_bytes: transfer.most, expires_seconds: LINK_SECONDS, ...messageOf(ignored) };
    },
  });
}

const uploadArguments = Type.Object({
  path: Type.String({
    minLength: 1,
    description: 'Absolute.',
    examples: ['/tmp/file'],
  }),
  mode: Type.String({
    default: NEW_MODE.toString(8),
    description: 'Of a new file; a replaced one keeps its own.',
    ...SELDOM,
  }),
  file: Type.Optional(
    Type.Object(
      {
        download_url: Type.String(),
        file_id: Type.String(),
        mime_type: Type.Optional(Type.String()),
        file_name: Type.Optional(Type.String()),
      },
      { description: 'A file of the chat, written at once.' },
    ),
  ),
});

/** Throws `OperationNotAllowed` if the commands of a profile have no network: then nothing is fetched for it. */
function requireNetwork({ profile }: CallContext): void {
  if (profile.sandbox?.network === false)
    throw new OperationNotAllowed(
      `The profile ${profile.name} of this token has no network, so no file is fetched. Leave file out: upload then returns a link.`,
    );
}

/** Asks a person about a file that has come: by its size and hash, because its bytes may be anything. */
function askAbout(
  deps: LinkOperationDeps,
  context: CallContext,
  decision: Decision,
  path: string,
  mode: string,
): AskAboutUpload {
  return ({ bytes, sha256 }, perform) => {
    const diff = `${bytes} bytes, instead of what is there then\n`;
    const asked = { path, mode: `${mode} where it is new`, owner: '', before_sha256: '', after_sha256: sha256, diff };
    const cmd = `upload ${shownPath(path)}`;
    return askAPerson(deps, context, decision, cmd, asked, (_later, onRecord) => perform(onRecord));
  };
}

/** Fetches a file of a chat while the call waits; nobody else knows its link. */
async function fetchInto(transfer: Upload, url: string, { deadline, address }: CallContext) {
  try {
    const signal = AbortSignal.timeout(deadline.before(COMMIT_SECONDS).leftMs);
    // The caller knows its path.
    const { path: _, ...done } = await transfer.receive(0, chatFile(url, transfer.most, signal), () =>
      transfer.commit(address),
    );
    return done;
  } catch (error) {
    transfer.end();
    throw error;
  }
}
