import { existsSync } from 'node:fs';
import { type CallContext, type OperationDeps, revalidate, slotDeadline, waitForSlot } from '../calls/context.ts';
import type { Script } from '../commands/helper.ts';
import { type Isolation, isolationOf, openInSandbox, requireLimits, requireSandbox } from '../commands/isolation.ts';
import { type Deadline, OneShotEvent } from '../lib/clock.ts';
import { TooManyRequests } from '../lib/errors.ts';
import { LOOK_SECONDS } from '../lib/limits.ts';
import { ConcurrencyLimiter } from '../process/concurrency-limiter.ts';
import { isHiddenName } from '../sandbox/hidden.ts';
import { openDirect } from './direct.ts';
import { openIsolated, PERL } from './isolated.ts';
import { type FilePlace, NOTHING_DONE, parsePath, type Range, shownPath } from './place.ts';

/** Nothing is read of a file that is too large. */
export const NO_PART: Range = { offset: 0, bytes: 0 };

/**
 * Opens the place of a client's path with the rights of its profile: with those of the agent if the profile has no
 * isolation, else by a script in the same isolation as a command. `range` is what is read of a file that is too large
 * to be read whole. The caller disposes of it. Waits for a slot until `slotBy`. Throws what the call is refused with.
 */
export async function openPlace(
  deps: OperationDeps,
  context: CallContext,
  path: string,
  range = NO_PART,
  slotBy?: Deadline,
): Promise<FilePlace> {
  const parts = parsePath(path);
  const { profile } = context;
  if (profile.isPlain) return await openDirect(parts, range);
  const { access, clock, commands } = deps;
  const isolation = isolationOf(profile, deps.ownPaths);
  if (isolation.sandbox !== undefined) await requireSandbox(profile, isolation.sandbox, access, clock);
  requireLimits(isolation, commands.enforcesLimits);
  return await openInSandbox(isolation.sandbox, async () => {
    const release = await waitForSlot(deps, context, slotBy);
    try {
      revalidate(context, NOTHING_DONE);
      const start = (script: Script, args: readonly string[]) => commands.help(isolation, script, args, release);
      return await openIsolated(start, parts, range, context.deadline.before(LOOK_SECONDS), hasPerl(isolation));
    } catch (error) {
      release();
      throw error;
    }
  });
}

const hidesPerl = new WeakMap<readonly string[], boolean>();

/** Whether the commands of a profile have perl(1), and memory for a whole file. */
function hasPerl({ sandbox, limits }: Isolation): boolean {
  if (limits.memoryBytes !== undefined || !existsSync(PERL)) return false;
  if (sandbox === undefined) return true;
  const hides = hidesPerl.get(sandbox.hidden) ?? isHiddenName(sandbox.hidden, PERL);
  hidesPerl.set(sandbox.hidden, hides);
  return !hides;
}

/** A file up to this size takes no more memory than a call does anyway. */
const SMALL_BYTES = 1_048_576;

/** Calls that hold a large file in memory at once, of all tokens: up to 16 MiB each, and a change twice that. */
const slots = new ConcurrencyLimiter(8, 'calls on large files', '');

/**
 * Waits until a file may be held in memory; the caller disposes of the slot soon. A file of size 0 may be one of the
 * kernel, which has more. Throws `TooManyRequests`.
 */
export async function roomFor(
  context: CallContext,
  { stat }: FilePlace,
  slotBy = slotDeadline(context),
): Promise<Disposable> {
  const { principal, shutdown } = context;
  if (stat === undefined || (stat.size > 0 && stat.size <= SMALL_BYTES)) return { [Symbol.dispose]: () => {} };
  const release = await slots.acquire(principal, slots.limit, async (assigned) => {
    await slotBy.waitFor(assigned, shutdown);
    return assigned.fired;
  });
  return { [Symbol.dispose]: release };
}

/** Most calls work on a path for well under a second. */
const RETRY_SECONDS = 2;

/**
 * Calls that change the same path take turns, in the order in which they came. A waiting call holds no slot: calls for
 * other paths pass it.
 */
export class PathTurns {
  /** The calls that wait for each path in use. */
  readonly #waiting = new Map<string, OneShotEvent[]>();

  /** The number of paths in use. */
  get paths(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when it is the turn of the caller, which disposes of it. Throws `TooManyRequests` if that does not come
   * before its answer is due, or the call is cancelled.
   */
  async take(path: string, { deadline, shutdown }: Pick<CallContext, 'deadline' | 'shutdown'>): Promise<Disposable> {
    const waiting = this.#waiting.get(path);
    if (waiting === undefined) this.#waiting.set(path, []);
    else {
      const called = new OneShotEvent();
      waiting.push(called);
      await deadline.before(LOOK_SECONDS).waitFor(called, shutdown);
      if (!called.fired) {
        waiting.splice(waiting.indexOf(called), 1);
        throw new TooManyRequests(
          RETRY_SECONDS,
          `Other calls still work on ${shownPath(path)}. Nothing was done. Repeat the call in ${RETRY_SECONDS} seconds.`,
        );
      }
    }
    return { [Symbol.dispose]: () => this.#callNext(path) };
  }

  #callNext(path: string): void {
    const next = this.#waiting.get(path)?.shift();
    if (next === undefined) this.#waiting.delete(path);
    else next.fire();
  }
}

/** For all tokens: they may change the same file. */
export const pathTurns = new PathTurns();
