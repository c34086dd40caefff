import { type CallContext, type OperationDeps, revalidate, waitForSlot } from '../calls/context.ts';
import { confinementOf, requireCeilings, requireSandbox } from '../commands/confinement.ts';
import { LOOK_SECONDS } from '../lib/limits.ts';
import { Gate } from '../process/gate.ts';
import { openConfined } from './confined.ts';
import { openDirect } from './direct.ts';
import { type FilePlace, NOTHING_DONE, parsePath, type Range } from './place.ts';

/**
 * Opens the place of a client's path with the rights of its profile: with those of the agent where the profile holds
 * commands in nothing, else by a script behind the same walls as a command. `range` is what is read of a file that is too
 * large to be read whole. The caller disposes of it. Throws what the call is refused with.
 */
export async function openPlace(
  deps: OperationDeps,
  context: CallContext,
  path: string,
  range: Range = { offset: 0, bytes: 0 },
): Promise<FilePlace> {
  const parts = parsePath(path);
  const { profile } = context;
  if (profile.isPlain) return await openDirect(parts, range);
  const { access, clock, commands } = deps;
  const confinement = confinementOf(profile, deps.ownPaths);
  if (confinement.sandbox !== undefined) await requireSandbox(profile, confinement.sandbox, access, clock);
  requireCeilings(confinement, commands.holdsCeilings);
  const leave = await waitForSlot(deps, context);
  try {
    revalidate(context, NOTHING_DONE);
    const start = (script: string, args: readonly string[]) => commands.help(confinement, script, args, leave);
    return await openConfined(start, parts, range, context.deadline.before(LOOK_SECONDS));
  } catch (error) {
    leave();
    throw error;
  }
}

/** A file up to this size takes no more memory than a call does anyway. */
const SMALL_BYTES = 1_048_576;

/** Calls that hold a large file in memory at once, of all tokens: up to 16 MiB each, and a change twice that. */
const slots = new Gate(8, 'calls on large files', '');

/**
 * Waits until a file may be held in memory; the caller disposes of it when it is not any more. A size of 0 may be that of a
 * file of the kernel, which has more. Throws `TooManyRequests`.
 */
export async function roomFor(
  { principal, deadline, shutdown }: CallContext,
  { stat }: FilePlace,
): Promise<Disposable> {
  if (stat === undefined || (stat.size > 0 && stat.size <= SMALL_BYTES)) return { [Symbol.dispose]: () => {} };
  const leave = await slots.enter(principal, slots.limit, async (called) => {
    await deadline.before(LOOK_SECONDS).waitFor(called, shutdown);
    return called.fired;
  });
  return { [Symbol.dispose]: leave };
}
