import type { Answer, CallContext } from '../calls/context.ts';
import { FileConflict } from '../lib/errors.ts';
import { type Changed, changeFile, type FileDeps, type OldFile } from './change.ts';
import { shownPath } from './place.ts';
import type { Change } from './versions.ts';

/** An undo that the owner has ordered. */
export interface OrderedUndo {
  /** The SHA-256 of the current content, as the owner has seen it; empty: there is no file. */
  readonly expected: string;
  /** Who has ordered it, and the proof. */
  readonly onRecord: Readonly<Record<string, unknown>>;
}

/** Restores what a file had before a change. Throws what `changeFile` throws, and `FileConflict`. */
export function putBack(
  deps: FileDeps,
  context: CallContext,
  change: Change,
  answer: (changed: Changed) => Answer,
  ordered?: OrderedUndo,
): Promise<Answer> {
  const { path, before, directories } = change;
  const next = async (old: OldFile | undefined) => {
    if (ordered !== undefined && (old?.sha256 ?? '') !== ordered.expected)
      throw new FileConflict(`${shownPath(path)} has changed since it was shown, so nothing was done.`);
    requireOwn(deps, change, old);
    const bytes = await deps.versions.contentBefore(change);
    if (before === null || bytes === undefined) return undefined;
    // In an isolation, no file gets bits that make a program run as another user.
    const mode = context.profile.isPlain ? before.mode : before.mode & 0o777;
    return { bytes, mode, owner: { user: before.user, group: before.group } };
  };
  const wanted = { op: 'undo', path, revealsOld: true, makesDirectories: true, directories, next } as const;
  return changeFile(deps, context, { ...wanted, ordered: ordered?.onRecord }, answer);
}

/** Whether this token made all changes of a file since a change: then an undo takes nothing from anybody else. */
export function isOwn({ versions }: FileDeps, { principal, path, id }: Change, sha256: string): boolean {
  const own = versions.list(principal).filter((one) => one.path === path && one.id >= id);
  return own.some(({ after }) => after?.sha256 === sha256);
}

/** Throws `FileConflict` if somebody else has changed the file since: an undo would revert that too. */
function requireOwn(deps: FileDeps, change: Change, old: OldFile | undefined): void {
  if (old === undefined || isOwn(deps, change, old.sha256)) return;
  throw new FileConflict(
    `${shownPath(change.path)} was changed by somebody else since, so nothing was done. To restore the older content anyway, move the file away first, and undo again.`,
  );
}
