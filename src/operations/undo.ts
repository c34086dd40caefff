import { type Static, Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import type { Answer, CallContext } from '../calls/context.ts';
import type { Changed, FileDeps } from '../files/change.ts';
import { waitingFields } from '../files/fields.ts';
import { shownPath } from '../files/place.ts';
import { putBack } from '../files/undo.ts';
import type { Change } from '../files/versions.ts';
import { FileNotFound } from '../lib/errors.ts';
import { defineOperation, type Operation } from './operation.ts';

/** `undo`: restores what a file had before a change of this token, or lists the changes. */
export function undoOperation(deps: FileDeps): Operation {
  return defineOperation(deps, {
    name: 'undo',
    summary: 'Undo a change',
    description: 'Restores what a file had before write_file or edit_file. Without arguments, lists your changes.',
    args: undoArguments,
    result: Type.Object({
      path: Type.Optional(Type.String({ description: 'The file.' })),
      size: Type.Optional(Type.Integer({ description: 'Its size in bytes after the undo.' })),
      removed: Type.Optional(Type.Boolean({ description: 'True when there was no file before.' })),
      change: Type.Optional(Type.String({ description: 'Id of the undo itself.' })),
      older: Type.Optional(Type.String({ description: 'The change before: undo it to go back further.' })),
      changes: Type.Optional(Type.Array(listed, { description: 'The newest first.' })),
      ...waitingFields,
      message: Type.Optional(Type.String({ description: 'Notes on the change.' })),
    }),
    destructive: true,
    readOnly: false,
    recordsItself: true,
    run: async (given, context) => {
      if (given.path === undefined && given.change === undefined) return list(deps, context);
      const change = find(deps, context, given);
      return putBack(deps, context, change, (changed) => answerOf(changed, stepOf(deps, change)));
    },
  });
}

const undoArguments = Type.Object({
  path: Type.Optional(Type.String({ minLength: 1, description: 'Undoes its last change.' })),
  change: Type.Optional(Type.String({ description: 'Id of a change.' })),
});

const listed = Type.Object({
  change: Type.String(),
  op: Type.String(),
  path: Type.String(),
  at: Type.String(),
  bytes_before: Type.Optional(Type.Integer()),
  bytes_after: Type.Optional(Type.Integer()),
});

const MOST_LISTED = 50;

function list({ versions, trail }: FileDeps, context: CallContext): Answer {
  const all = versions.list(context.principal);
  trail.operation('undo', {}, context);
  const more = all.length > MOST_LISTED ? `There are ${all.length} changes, and these are the newest.` : undefined;
  return { changes: all.slice(0, MOST_LISTED).map(describe), ...messageOf(more) };
}

function describe({ id, op, path, at, before, after }: Change) {
  return {
    change: id,
    op,
    path,
    at: new Date(at).toISOString(),
    ...(before !== null && { bytes_before: before.size }),
    ...(after !== null && { bytes_after: after.size }),
  };
}

/** Returns the change in question. Throws `FileNotFound`, also for a change of another token. */
function find({ versions }: FileDeps, { principal }: CallContext, given: Static<typeof undoArguments>): Change {
  const { path, change: id } = given;
  const found = versions
    .list(principal)
    .find((one) => (id === undefined || one.id === id) && (path === undefined || one.path === path));
  if (found !== undefined) return found;
  const what = path === undefined ? 'this id' : `the file ${shownPath(path)}`;
  throw new FileNotFound(
    `This token has no change of ${what} that could be undone: it may have expired. undo without arguments lists them. Nothing was done.`,
  );
}

/** Where an undo of a change leads. */
interface Step {
  /** Whether it undoes an undo, so it goes forward. */
  readonly isForward: boolean;
  /** The change to undo to go back further than both contents of the file; undefined if unknown. */
  readonly older: Change | undefined;
}

function stepOf({ versions }: FileDeps, { principal, op, path, id, before, after }: Change): Step {
  const earlier = versions.list(principal).filter((one) => one.path === path && one.id < id && one.op !== 'undo');
  const maker = (content: Change['after']): Change | undefined =>
    content === null ? undefined : earlier.find((one) => one.after?.sha256 === content.sha256);
  const [made, restored] = [maker(before), maker(after)];
  const isForward = op === 'undo' && made !== undefined && (restored === undefined || restored.id < made.id);
  return { isForward, older: isForward ? restored : made };
}

function answerOf({ path, next, change, notes }: Changed, { isForward, older }: Step): Answer {
  const further = older === undefined ? '' : ` To go back further, send change: ${older.id}.`;
  return {
    path,
    ...(next === undefined ? { removed: true } : { size: next.bytes.length }),
    ...(change !== undefined && { change: change.id }),
    ...(older !== undefined && { older: older.id }),
    ...messageOf(...notes, isForward ? `This took back an undo.${further}` : undefined),
  };
}
