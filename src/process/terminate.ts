import { Deadline, OneShotEvent } from '../lib/clock.ts';
import type { ProcessTree } from './tree.ts';

/** How long SIGKILL is repeated before giving up: only a process stuck in the kernel (state D) outlives that. */
const KILL_ROUNDS_SECONDS = 3;

/** The first looks at a signalled tree come quickly, later ones slowly: a look reads all of /proc. */
const FIRST_LOOK_MS = 5;
const SLOWEST_LOOK_MS = 100;

/**
 * Ends every process of the tree: SIGTERM, then SIGKILL when `graceSeconds` have passed or `hurry` happens. A stopped
 * process is continued, or it would never handle SIGTERM. Returns how many processes are left: 0, except for those
 * stuck in the kernel.
 */
export async function terminate(tree: ProcessTree, graceSeconds: number, hurry: OneShotEvent): Promise<number> {
  if (tree.askToEnd() === 0) return 0;
  if (await isGone(tree, Deadline.after(graceSeconds), hurry)) return 0;
  return kill(tree);
}

/** Sends SIGKILL to the whole tree, frozen first so that it cannot fork meanwhile. Returns how many are left. */
export async function kill(tree: ProcessTree): Promise<number> {
  const deadline = Deadline.after(KILL_ROUNDS_SECONDS);
  tree.signal('SIGSTOP');
  tree.signal('SIGKILL');
  while (!(await isGone(tree, deadline.orAfter(SLOWEST_LOOK_MS / 1000), NEVER))) {
    if (deadline.passed) return tree.members().length;
    tree.signal('SIGKILL');
  }
  return 0;
}

const NEVER = new OneShotEvent();

/** Resolves with true once the tree is empty, with false at the deadline or when `hurry` happens. */
async function isGone(tree: ProcessTree, deadline: Deadline, hurry: OneShotEvent): Promise<boolean> {
  let pause = FIRST_LOOK_MS;
  // A tree that was once empty stays empty, so an older look, which others share, is enough.
  while (tree.members(pause).length > 0) {
    if (deadline.passed || hurry.fired) return false;
    await deadline.orAfter(pause / 1000).waitFor(hurry);
    pause = Math.min(pause * 2, SLOWEST_LOOK_MS);
  }
  return true;
}
