import { TooManyRequests } from '../lib/errors.ts';
import { LOOK_SECONDS } from '../lib/limits.ts';
import { visibleLine } from '../lib/visible.ts';
import type { CallContext, OperationDeps } from './context.ts';

/** How long a command waits for its turn, when as many run as may. */
const QUEUE_SECONDS = 5;

/** Waits for a slot among the commands that run; gives the function that frees it, once. Throws `TooManyRequests`. */
export async function waitForSlot(deps: OperationDeps, context: CallContext): Promise<() => void> {
  const { principal, limits, profile, ...call } = context;
  const most = Math.min(limits.maxRunningPerToken, profile.limits.running ?? Number.POSITIVE_INFINITY);
  const deadline = call.deadline.before(LOOK_SECONDS).orAfter(QUEUE_SECONDS);
  try {
    const leave = await deps.gate.enter(principal, most, async (called) => {
      await deadline.waitFor(called, call.shutdown);
      return called.fired;
    });
    // The kernel holds the agent up until a process has begun.
    await deps.turns.take(principal);
    return leave;
  } catch (error) {
    throw error instanceof TooManyRequests ? error.with(await silentest(deps, context)) : error;
  }
}

const MOST_NAMED = 3;

/** Names the caller's own commands that have written nothing for the longest time: forgotten ones hold slots for an hour. */
async function silentest({ store, clock }: OperationDeps, { principal, masker }: CallContext): Promise<string> {
  const now = clock.now();
  const silent = [...store.all()]
    .filter(({ record }) => record.principal === principal && record.status === 'running')
    .map((session) => ({ session, ms: session.silentMs(now) }))
    .sort((a, b) => b.ms - a.ms)
    .slice(0, MOST_NAMED)
    .map(({ session, ms }) => `${session.id} (${Math.floor(ms / 1000)} s: ${beginningOf(session.record.cmd)})`);
  if (silent.length === 0) return '';
  const text = ` Silent for the longest time: ${silent.join(', ')}.`;
  return (await masker?.mask(text)) ?? text;
}

function beginningOf(cmd: string): string {
  const line = visibleLine(cmd.slice(0, 60)).slice(0, 60);
  return line.length < cmd.length ? `${line.toWellFormed()}…` : line;
}
