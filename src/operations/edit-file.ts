import { type Static, Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import { type Answer, type CallContext, replyChars, SPARE } from '../calls/context.ts';
import { type Changed, changeFile, type FileDeps } from '../files/change.ts';
import { withEdits } from '../files/edits.ts';
import { changeFields } from '../files/fields.ts';
import { shownPath } from '../files/place.ts';
import { FileNotFound, InvalidArguments } from '../lib/errors.ts';
import { jsonChars } from '../lib/utf8.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';

/** `edit_file`: replaces texts in a file. */
export function editFileOperation(deps: FileDeps): Operation {
  return defineOperation(deps, {
    name: 'edit_file',
    summary: 'Edit a file',
    description: 'Replaces texts in a file, all or none, and answers with the diff. undo restores the old content.',
    args: editFileArguments,
    result: Type.Object({
      diff: Type.Optional(Type.String({ description: 'What is different now.' })),
      ...changeFields,
    }),
    destructive: true,
    readOnly: false,
    recordsItself: true,
    run: (given, context) => editFile(deps, given, context),
  });
}

const edit = Type.Object({
  old: Type.String({ description: 'Occurs exactly once.' }),
  new: Type.String({ description: 'Replaces it.' }),
  all: Type.Optional(Type.Boolean({ description: 'Every occurrence.' })),
});

const editFileArguments = Type.Object({
  path: Type.String({ minLength: 1, description: 'Absolute.', examples: ['/tmp/hello.txt'] }),
  edits: Type.Array(edit, {
    minItems: 1,
    maxItems: 100,
    description: 'In this order.',
    examples: [[{ old: 'hello', new: 'goodbye' }]],
  }),
  expected_sha256: Type.Optional(
    Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'Edit only if the file has this hash.', ...SELDOM }),
  ),
});

async function editFile(
  deps: FileDeps,
  { path, edits, expected_sha256: expected }: Static<typeof editFileArguments>,
  context: CallContext,
): Promise<Answer> {
  const all = edits.map((one) => ({ ...one, all: one.all ?? false }));
  if (all.some((one) => !one.old.isWellFormed() || !one.new.isWellFormed()))
    throw new InvalidArguments('An edit has a lone surrogate (half of a UTF-16 pair), which is not text.');
  const wanted = {
    ...({ op: 'edit_file', path, revealsOld: true, makesDirectories: false, expected } as const),
    next: async (old: { readonly bytes: Uint8Array } | undefined, real: string) => {
      if (old === undefined) throw new FileNotFound(`There is no file ${shownPath(real)}. Make it with write_file.`);
      const turn = (garbageBytes: number) => deps.turns.take(context.principal, garbageBytes);
      return { bytes: await withEdits(real, old.bytes, all, turn) };
    },
  };
  return changeFile(deps, context, wanted, (changed) => answerOf(changed, replyChars(context)));
}

/** Room for the fields besides the diff. */
const FRAME_CHARS = 900;

/** A longer diff is cut: the caller knows the change, and the rest is in the file. */
const MAX_DIFF_CHARS = 4000;

function answerOf({ next, sha256, change, diff, notes }: Changed, chars: number): Answer {
  return {
    diff: cut(diff, Math.min(MAX_DIFF_CHARS, chars - FRAME_CHARS)),
    size: next?.bytes.length ?? 0,
    sha256,
    ...(change !== undefined && { change: change.id }),
    ...messageOf(...notes),
    [SPARE]: ['size', 'sha256', 'change'],
  };
}

/** Returns the beginning of a diff in at most `chars` characters of JSON, and the number of its lines in all. */
function cut(diff: string, chars: number): string {
  if (jsonChars(diff) <= chars) return diff;
  const count = (sign: RegExp): number => diff.match(sign)?.length ?? 0;
  const note = `[agent3: the rest of the diff is left out. In all, ${count(/^-/gm)} lines were removed and ${count(/^\+/gm)} were added.]\n`;
  // Without hunks, all old lines come before all new ones.
  const at = diff.startsWith('@@') ? -1 : diff.search(/^\+/m);
  const parts = at < 1 ? [diff] : [diff.slice(0, at), diff.slice(at)];
  const share = (chars - jsonChars(note)) / parts.length;
  return `${parts.map((part) => firstLines(part, share)).join('')}${note}`;
}

function firstLines(text: string, chars: number): string {
  let [end, used] = [0, 0];
  while (end < text.length) {
    const next = text.indexOf('\n', end) + 1 || text.length;
    used += jsonChars(text.slice(end, next));
    if (used > chars) break;
    end = next;
  }
  return text.slice(0, end);
}
