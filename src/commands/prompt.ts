import type { Deadline, OneShotEvent } from '../lib/clock.ts';
import { Growth } from '../sessions/growth.ts';
import type { Session } from '../sessions/session.ts';
import type { Commands } from './commands.ts';

/** A command that waits for input has written all of its prompt when nothing came for this time. */
const QUIET_SECONDS = 0.15;
/** Looking for processes that wait for input reads /proc for each process of the command. */
const SLOWEST_LOOK_SECONDS = 1;

/** Waits until a command has ended or waits for input, or the deadline passes. */
export async function waitForPrompt(
  commands: Commands,
  session: Session,
  deadline: Deadline,
  shutdown: OneShotEvent,
): Promise<void> {
  const end = commands.endOf(session);
  if (end === undefined) return;
  using growth = new Growth(session.path('stdout'));
  let pause = QUIET_SECONDS;
  for (;;) {
    const grown = growth.next();
    await deadline.orAfter(pause).waitFor(end, shutdown, grown);
    if (end.fired || shutdown.fired || deadline.passed) return;
    if (grown.fired) {
      pause = QUIET_SECONDS;
      // Not more often, even in a flood of output.
      await deadline.orAfter(QUIET_SECONDS).waitFor(end, shutdown);
      continue;
    }
    if (commands.waitsForInput(session)) return;
    pause = Math.min(pause * 1.5, SLOWEST_LOOK_SECONDS);
  }
}
