import { posix } from 'node:path';
import type { FileOnRecord } from '../audit/trail.ts';
import { type Answer, type CallContext, type OperationDeps, revalidate, slotDeadline } from '../calls/context.ts';
import { FileConflict, FileNotFound, InvalidArguments } from '../lib/errors.ts';
import { MAX_FILE_BYTES } from '../lib/limits.ts';
import { ownUmask } from '../linux/proc.ts';
import { ALLOWED } from '../rules/rule.ts';
import { askAPerson } from './ask.ts';
import { requireChangeable } from './decide.ts';
import { describeChange } from './diff.ts';
import { NO_PART, openPlace, pathTurns, roomFor } from './open.ts';
import {
  type FilePlace,
  type FileStat,
  fileOrNothing,
  NOTHING_DONE,
  requireWhole,
  shownPath,
  whyFleeting,
} from './place.ts';
import type { Change, Versions } from './versions.ts';

export interface FileDeps extends OperationDeps {
  readonly versions: Versions;
}

/** A file as it is. */
export interface OldFile extends FileStat {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** By their ids. */
interface Owner {
  readonly user: number;
  readonly group: number;
}

/** The new content and properties of a file. */
export interface NextFile {
  readonly bytes: Uint8Array;
  /** Undefined: that of the old file without its set-id bits; for a new file, what the umask leaves. */
  readonly mode?: number | undefined;
  /** Undefined: that of the old file. */
  readonly owner?: Owner | undefined;
}

/** A change that a client wants. */
export interface WantedChange {
  readonly op: 'write_file' | 'edit_file' | 'undo';
  readonly path: string;
  /** Its answer, or its refusal, reveals the old content: its token must be allowed to read the file. */
  readonly revealsOld: boolean;
  /** Whether the directories of a new file are made. */
  readonly makesDirectories: boolean;
  /** If the file is removed: how many empty directories above it are removed too. */
  readonly directories?: number | undefined;
  /** The SHA-256 that the file must have, as the client knows it. */
  readonly expected?: string | undefined;
  /** Set if the owner has ordered it: rules do not apply, nobody is asked, and this is on record. */
  readonly ordered?: Readonly<Record<string, unknown>> | undefined;
  /** Returns what the file becomes; undefined: it is removed. Throws if that is not possible. */
  next(old: OldFile | undefined, path: string): Promise<NextFile | undefined> | NextFile | undefined;
}

/** The result of a change. */
export interface Changed {
  readonly path: string;
  readonly old: OldFile | undefined;
  readonly next: NextFile | undefined;
  readonly sha256: string | undefined;
  /** Undefined: nothing was different. */
  readonly change: Change | undefined;
  /** Of an edit. */
  readonly diff: string;
  /** The bits of its mode. */
  readonly mode: number;
  readonly notes: readonly string[];
}

/**
 * Changes a file, or asks a person for approval: then the answer names the session that waits. Calls for one path take
 * turns. Throws what the call is refused with; then the file is as it was.
 */
export async function changeFile(
  deps: FileDeps,
  context: CallContext,
  wanted: WantedChange,
  answer: (changed: Changed) => Answer,
): Promise<Answer> {
  const slotBy = slotDeadline(context);
  using _turn = await pathTurns.take(wanted.path, context);
  await using place = await openPlace(deps, context, wanted.path, NO_PART, slotBy);
  using _room = await roomFor(context, place, slotBy);
  const paths = [wanted.path, place.path];
  const { decision, hidesOld } = wanted.ordered ? ORDERED : await requireChangeable(context, wanted, paths);
  const planning = planOf(context, wanted, place, hidesOld);
  if (decision.action !== 'confirm')
    return answer(await carryOut(deps, context, wanted, place, await planning, wanted.ordered));
  // The reason for a failure would reveal the old content: a person has to allow that.
  const plan = await (hidesOld && wanted.revealsOld ? planning.catch(() => undefined) : planning);
  const seen = plan && factsOf(place.path, plan);
  const asked = plan && seen && { ...seen, diff: await describeChange(plan.old?.bytes, plan.next?.bytes, unmasked) };
  return askAPerson(
    deps,
    context,
    decision,
    `${wanted.op} ${shownPath(place.path)}`,
    asked,
    async (later, onRecord) => {
      using _later = await pathTurns.take(wanted.path, later);
      await using again = await openPlace(deps, later, wanted.path);
      using _laterRoom = await roomFor(later, again);
      const now = await planOf(later, wanted, again, hidesOld && !wanted.revealsOld);
      // Only what the person has seen.
      if (!Bun.deepEquals(factsOf(again.path, now), seen))
        throw new FileConflict(`${shownPath(place.path)} has changed since the request, so nothing was done`);
      return answer(await carryOut(deps, later, wanted, again, now, onRecord));
    },
  );
}

const ORDERED = { decision: ALLOWED, hidesOld: false };

/** A person who has to approve a change sees all of it. */
const unmasked = async (text: string): Promise<string> => text;

/** What a person approves in a change. The hashes identify the contents. */
function factsOf(path: string, { old, mode, owner, sha256 = '' }: Plan) {
  return {
    path,
    mode: insteadOf(mode === undefined ? 'as the umask leaves it' : octal(mode), old && octal(old.mode)),
    owner: insteadOf(owner === undefined ? '' : numbersOf(owner), old && numbersOf(old)),
    before_sha256: old?.sha256 ?? '',
    after_sha256: sha256,
  };
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');
const numbersOf = ({ user, group }: Owner): string => `${user}:${group}`;
const insteadOf = (next: string, old = next): string => (next === old ? next : `${next} instead of ${old}`);

/** The file before and after the change. */
interface Plan {
  readonly old: OldFile | undefined;
  readonly next: NextFile | undefined;
  /** Of the new content. */
  readonly sha256: string | undefined;
  /** Undefined: what the umask leaves. */
  readonly mode: number | undefined;
  /** Undefined: the user that makes it. */
  readonly owner: Owner | undefined;
  /** The answer must not reveal whether both are the same. */
  readonly hidesOld: boolean;
}

async function planOf(context: CallContext, wanted: WantedChange, place: FilePlace, hidesOld: boolean): Promise<Plan> {
  const { deps, principal } = context;
  requireLasting(context, place);
  const stat = fileOrNothing(place);
  if (place.missing !== undefined && !wanted.makesDirectories)
    throw new FileNotFound(
      `There is no such directory: ${shownPath(posix.dirname(place.path))}. Send create_directories: true to make it. Nothing was done.`,
    );
  // A file that may not be read is not compared either.
  const old = stat && (await readOld(place, stat));
  requireExpected(place.path, wanted.expected, old);
  await deps.turns.take(principal, old?.bytes.length);
  const next = await wanted.next(old, place.path);
  if (next !== undefined && next.bytes.length > MAX_FILE_BYTES)
    throw new InvalidArguments(
      `${shownPath(place.path)} would be larger than ${MAX_FILE_BYTES / 1_048_576} MiB, which is the limit here. Use upload for it. Nothing was done.`,
    );
  const mode = next?.mode ?? (old && old.mode & 0o777);
  const sha256 = next && Bun.SHA256.hash(next.bytes, 'hex');
  return { old, next, sha256, mode, owner: next?.owner ?? old, hidesOld };
}

/** Throws `InvalidArguments` for a file that would be gone with the sandbox in which it is written. */
function requireLasting({ profile: { sandbox } }: CallContext, { path }: FilePlace): void {
  const why = whyFleeting(sandbox, path);
  if (why === undefined) return;
  const where = sandbox?.directory === undefined ? 'This token may write nowhere' : `Write below ${sandbox.directory}`;
  throw new InvalidArguments(`${shownPath(path)} would be gone at once: ${why}. ${where}. Nothing was done.`);
}

async function readOld(place: FilePlace, stat: FileStat): Promise<OldFile> {
  const bytes = requireWhole(place, await place.read());
  return { ...stat, bytes, sha256: Bun.SHA256.hash(bytes, 'hex') };
}

function requireExpected(path: string, expected: string | undefined, old: OldFile | undefined): void {
  if (expected === undefined || old?.sha256 === expected.toLowerCase()) return;
  const what = old === undefined ? 'does not exist' : `is another file now: it has the sha256 ${old.sha256}`;
  throw new FileConflict(`${shownPath(path)} ${what}. Nothing was done. Read it, and decide again.`);
}

const SET_ID = 0o6000;

async function carryOut(
  deps: FileDeps,
  context: CallContext,
  wanted: WantedChange,
  place: FilePlace,
  plan: Plan,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Changed> {
  const { path } = place;
  const { old, next, sha256, mode, owner, hidesOld } = plan;
  const notes = notesOn(old, next, mode);
  const isSame =
    !hidesOld &&
    old !== undefined &&
    Bun.deepEquals([sha256, mode, owner && numbersOf(owner)], [old.sha256, old.mode, numbersOf(old)]);
  const diff = isSame || wanted.op !== 'edit_file' ? '' : await diffOf(context, old, next);
  revalidate(context, NOTHING_DONE);
  if (isSame)
    return {
      path,
      old,
      next,
      sha256,
      change: undefined,
      diff,
      mode: old.mode,
      notes: [...notes, 'The file already had this content.'],
    };
  const change = await deps.versions.keep(changeOf(context, wanted, place, plan), old?.bytes);
  try {
    deps.trail.file(wanted.op, context, { ...onRecord(path, change, mode), ...more });
    if (next === undefined) await place.remove(wanted.directories);
    else await place.replace({ bytes: next.bytes, mode, owner });
  } catch (error) {
    deps.versions.remove(change);
    throw error;
  }
  return { path, old, next, sha256, change, diff, mode: mode ?? 0o666 & ~ownUmask(), notes };
}

/** Returns the difference, without secrets if the profile masks. */
function diffOf({ masker }: CallContext, old: OldFile | undefined, next: NextFile | undefined): Promise<string> {
  return describeChange(old?.bytes, next?.bytes, async (text) => (await masker?.mask(text)) ?? text);
}

function changeOf(
  { principal }: CallContext,
  { op }: WantedChange,
  { path, missing }: FilePlace,
  { old, next, sha256 }: Plan,
): Omit<Change, 'id' | 'at'> {
  const before = old && { sha256: old.sha256, size: old.size, mode: old.mode, user: old.user, group: old.group };
  const after = next && sha256 !== undefined && { sha256, size: next.bytes.length };
  const made = missing === undefined ? {} : { directories: missing.split('/').length };
  return { principal, op, path, before: before ?? null, after: after || null, ...made };
}

function onRecord(path: string, { id, before, after }: Change, mode: number | undefined): FileOnRecord {
  return {
    path,
    change: id,
    ...(before !== null && { before_sha256: before.sha256, before_bytes: before.size }),
    ...(after !== null && { after_sha256: after.sha256, after_bytes: after.size }),
    ...(mode !== undefined && { mode: mode.toString(8) }),
  };
}

function notesOn(old: OldFile | undefined, next: NextFile | undefined, mode: number | undefined): string[] {
  if (old === undefined || next === undefined) return [];
  const lost = old.mode & SET_ID & ~(mode ?? 0);
  return [
    ...(lost === 0 ? [] : ['The set-id bits of the file are gone: a changed program does not keep them.']),
    ...(old.links < 2
      ? []
      : [`The file had ${old.links} names (hard links): the others still lead to the old content.`]),
  ];
}
