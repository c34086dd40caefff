import { Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import { openConfinedSink } from '../files/confined-files.ts';
import { openOwnSink } from '../files/own-files.ts';
import { LINK_SECONDS, type LinkOperationDeps } from '../files/transfers.ts';
import { defineOperation, type Operation } from './operation.ts';
import { openAllowed } from './transfer-path.ts';

/** `upload`: gives a link that writes one file, so that its bytes do not pass through the model. */
export function uploadOperation(deps: LinkOperationDeps): Operation {
  return defineOperation(deps, {
    name: 'upload',
    summary: 'Upload a file',
    description:
      'Makes a link to write one file with PUT: curl -fT FILE URL. It needs no token, and ends with the file or after ten minutes.',
    args: Type.Object({
      path: Type.String({ minLength: 1, description: 'The file, an absolute path. What is there is replaced.' }),
      mode: Type.String({
        pattern: '^0?[0-7]{3}$',
        default: '644',
        description: 'Permissions of a new file. One that is replaced keeps its own.',
      }),
    }),
    result: Type.Object({
      url: Type.String({ description: 'The link.' }),
      max_bytes: Type.Integer({ description: 'Most that the file may have.' }),
      expires_seconds: Type.Integer({ description: 'The link ends after this time.' }),
      message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
    }),
    destructive: true,
    readOnly: false,
    run: async ({ path, mode }, context, ignored) => {
      const { transfers } = deps;
      const modeBits = Number.parseInt(mode, 8);
      const { url, transfer } = await transfers.upload({ ...context, path }, () =>
        openAllowed(
          deps,
          context,
          path,
          (quoted) => `cat > ${quoted}`,
          (confinement) =>
            confinement === undefined
              ? openOwnSink(path, modeBits)
              : openConfinedSink(transfers.deps, confinement, path, modeBits),
        ),
      );
      return { url, max_bytes: transfer.most, expires_seconds: LINK_SECONDS, ...messageOf(ignored) };
    },
  });
}
