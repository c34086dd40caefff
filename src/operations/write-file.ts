import { type Static, Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import { type Answer, type CallContext, SPARE } from '../calls/context.ts';
import { type Changed, changeFile, type FileDeps, type OldFile } from '../files/change.ts';
import { changeFields, modeOf } from '../files/fields.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';

/** `write_file`: writes a whole file, or appends to it. */
export function writeFileOperation(deps: FileDeps): Operation {
  return defineOperation(deps, {
    name: 'write_file',
    summary: 'Write a file',
    description: 'Writes a file, whole or not at all. undo restores the old content.',
    args: writeFileArguments,
    result: Type.Object({
      created: Type.Optional(Type.Boolean({ description: 'True when there was no file.' })),
      mode: Type.Optional(Type.String({ description: 'Mode, if none was sent and it is not 644.' })),
      ...changeFields,
    }),
    destructive: true,
    readOnly: false,
    recordsItself: true,
    run: (given, context) => writeFile(deps, given, context),
  });
}

const writeFileArguments = Type.Object({
  path: Type.String({ minLength: 1, description: 'Absolute.', examples: ['/tmp/hello.txt'] }),
  content: Type.String({ description: 'All of it.', examples: ['hello\n'] }),
  encoding: Type.Union([Type.Literal('utf8'), Type.Literal('base64')], {
    default: 'utf8',
    description: 'Encoding of content.',
    ...SELDOM,
  }),
  append: Type.Boolean({ default: false, description: 'Adds at the end.' }),
  mode: Type.Optional(Type.String({ description: 'Such as 644. Default: as it was.' })),
  create_directories: Type.Boolean({ default: false, description: 'Makes missing parents.' }),
  expected_sha256: Type.Optional(
    Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'Write only if the file has this hash.' }),
  ),
});

async function writeFile(
  deps: FileDeps,
  given: Static<typeof writeFileArguments>,
  context: CallContext,
): Promise<Answer> {
  const bytes = bytesOf(given);
  const mode = modeOf(given.mode);
  const next = (old: OldFile | undefined) => ({
    bytes: given.append && old !== undefined ? Buffer.concat([old.bytes, bytes]) : bytes,
    mode,
  });
  const { path, create_directories: makesDirectories, expected_sha256: expected } = given;
  const revealsOld = given.append || expected !== undefined;
  const wanted = { op: 'write_file', path, revealsOld, makesDirectories, expected, next } as const;
  return changeFile(deps, context, wanted, (changed) => answerOf(changed, mode !== undefined));
}

const COMMON_MODE = 0o644;

function answerOf({ old, next, sha256, change, mode, notes }: Changed, isSent: boolean): Answer {
  return {
    size: next?.bytes.length ?? 0,
    sha256,
    ...(old === undefined && { created: true }),
    ...(!isSent && mode !== COMMON_MODE && { mode: mode.toString(8).padStart(3, '0') }),
    ...(change !== undefined && { change: change.id }),
    ...messageOf(...notes),
    [SPARE]: ['sha256', 'change'],
  };
}

function bytesOf({ content, encoding }: Static<typeof writeFileArguments>): Uint8Array {
  if (encoding === 'base64') {
    const digits = content.replace(/\s+/g, '');
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(digits)) throw new InvalidArguments('content is not Base64. Nothing was done.');
    return Buffer.from(digits, 'base64');
  }
  if (content.isWellFormed()) return Buffer.from(content);
  throw new InvalidArguments(
    'content has a lone surrogate (half of a UTF-16 pair), which is not text. Nothing was done.',
  );
}
