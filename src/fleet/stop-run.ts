import { type Static, Type } from '@sinclair/typebox';
import { messageOf } from '../calls/answer.ts';
import type { Answer, CallContext } from '../calls/context.ts';
import { OneShotEvent } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import { foldNames } from '../lib/fold-names.ts';
import { LOOK_SECONDS } from '../lib/limits.ts';
import { ENDING_SIGNALS, signalOf } from '../operations/kill-session.ts';
import { defineOperation, type Operation } from '../operations/operation.ts';
import type { FleetServer } from './door.ts';
import type { FleetDeps } from './fleet-deps.ts';
import { groupRefusals } from './groups.ts';
import { parseFleetId } from './ids.ts';
import { type CallOne, failureOf, type Progress, type Run } from './run.ts';
import { callsOf } from './run-calls.ts';

/** How a stop went on one server. `running`: it has the signal, and has not ended. */
type Stop =
  | { readonly kind: 'stopped' | 'withdrawn' | 'ended' | 'running' | 'not reached' | 'not started' }
  | { readonly kind: 'failed'; readonly error: string; readonly message: string };

/** How a stop went on each server that it was sent to; undefined: it has not answered yet. */
export type Stops = Map<FleetServer, Stop | undefined>;

/**
 * Stops a run: it begins nothing more, and each server where it runs or waits gets `signal`, all at once. Resolves when
 * each has answered; `stops` has what is known before that. Never rejects.
 */
export async function stopRun(run: Run, signal: string, call: CallOne, stops: Stops = new Map()): Promise<void> {
  const called = [...run.called];
  for (const [server] of called) stops.set(server, undefined);
  // Takes back each call that has no session yet. Its answer comes when the command has ended.
  run.stopped.fire();
  const stopOne = async (server: FleetServer, known: OneShotEvent): Promise<void> => {
    await known.wait();
    stops.set(server, await stopOn(run, server, signal, call));
  };
  await Promise.all(called.map(([server, known]) => stopOne(server, known)));
}

async function stopOn(run: Run, server: FleetServer, signal: string, call: CallOne): Promise<Stop> {
  const one = run.progress.get(server.name);
  if (one?.kind === 'done' && one.result.status === 'killed') return { kind: 'stopped' };
  if (!isOpen(one)) return stopWithout(one);
  try {
    const answer = await call(server, 'kill_session', { session: parseFleetId(one.session).id, signal });
    if (answer['status'] === 'denied') return { kind: 'withdrawn' };
    if (answer['status'] === 'running') return { kind: 'running' };
    return { kind: answer['signalled'] === 0 ? 'ended' : 'stopped' };
  } catch (error) {
    // Its session was closed meanwhile.
    if (error instanceof AgentError && error.status === 404) return { kind: 'ended' };
    const failure = failureOf(error);
    return failure.kind === 'unreachable' || isUnknown(failure) ? { kind: 'not reached' } : failure;
  }
}

function isOpen(one: Progress | undefined): one is Progress & { readonly session: string } {
  return (one?.kind === 'running' || one?.kind === 'waiting') && one.session !== undefined;
}

/** How it is with a server that gets no signal. */
function stopWithout(one: Progress | undefined): Stop {
  if (one?.kind === 'not started') return { kind: 'not started' };
  return { kind: one?.kind === 'failed' && isUnknown(one) ? 'not reached' : 'ended' };
}

/** Whether the outcome of a call is unknown, so that it may run. */
function isUnknown({ status }: { readonly status: number }): boolean {
  return status === 504;
}

const names = Type.Optional(Type.Array(Type.String()));
const result = Type.Object({
  run: Type.String({ description: 'Id of the run.' }),
  servers: Type.Array(Type.String(), { description: 'The servers of the run.' }),
  stopped: names,
  withdrawn: Type.Optional(Type.Array(Type.String(), { description: 'It waited for a person, and was not run.' })),
  ended: Type.Optional(Type.Array(Type.String(), { description: 'It had ended before.' })),
  running: Type.Optional(Type.Array(Type.String(), { description: 'Signalled, but not ended yet.' })),
  not_reached: Type.Optional(Type.Array(Type.String(), { description: 'It may still run there.' })),
  failed: Type.Optional(
    Type.Array(Type.Object({ servers: Type.Array(Type.String()), error: Type.String(), message: Type.String() }), {
      description: 'Refusals of servers.',
    }),
  ),
  not_started: names,
  message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
});

/** `kill_session` of a hub: `session` may be the id of a run, which is then stopped as a whole. */
export function withRuns(fleet: FleetDeps, kill: Operation): Operation {
  const { deps, runs } = fleet;
  const session = Type.String({ description: 'Its id, or that of a run.' });
  const signal = Type.Union(
    ENDING_SIGNALS.map((one) => Type.Literal(one)),
    { default: 'TERM' },
  );
  const stop = defineOperation(deps, {
    name: kill.name,
    summary: kill.summary,
    description: 'Signals every process of a session, or stops all of a run: no more of it begins. Output stays.',
    args: Type.Object({ session, signal }),
    result,
    destructive: true,
    readOnly: false,
    whileFrozen: true,
    normalize: (args) => ({ ...args, ...signalOf(args['signal']) }),
    run: async ({ session: id, signal: given }, context) => {
      const run = runs.get(id, context.principal);
      const wasOver = run.finished.fired;
      const stops: Stops = new Map();
      const over = new OneShotEvent();
      void stopRun(run, given, callsOf(fleet, context), stops).then(() => over.fire());
      await context.deadline.before(LOOK_SECONDS).waitFor(over, context.shutdown);
      return describeStop(run, stops, wasOver);
    },
  });
  return {
    ...kill,
    description: stop.description,
    args: Type.Object({ ...kill.args.properties, session }),
    result: Type.Partial(Type.Object({ ...kill.result.properties, ...result.properties })),
    invoke: (raw, call) => (isOfRun(raw, call) ? stop : kill).invoke(raw, call),
  };

  function isOfRun(raw: unknown, { principal }: Pick<CallContext, 'principal'>): boolean {
    const id = typeof raw === 'object' && raw !== null && 'session' in raw ? raw.session : undefined;
    return typeof id === 'string' && runs.find(id, principal) !== undefined;
  }
}

function describeStop(run: Run, stops: Stops, wasOver: boolean): Answer {
  const all = run.plan.servers.map((server) => {
    const stop = stops.has(server)
      ? (stops.get(server) ?? { kind: 'running' })
      : stopWithout(run.progress.get(server.name));
    return { ...stop, name: server.name };
  });
  const named = (kind: Stop['kind']): string[] =>
    foldNames(all.flatMap((one) => (one.kind === kind ? [one.name] : [])));
  const lists = {
    stopped: named('stopped'),
    withdrawn: named('withdrawn'),
    ended: named('ended'),
    running: named('running'),
    not_reached: named('not reached'),
    not_started: named('not started'),
  };
  const failed = groupRefusals(all.flatMap((one) => (one.kind === 'failed' ? [one] : [])));
  const shown: Static<typeof result> = {
    run: run.id,
    servers: foldNames(all.map(({ name }) => name)),
    ...Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)),
    ...(failed.length > 0 && { failed }),
    ...messageOf(
      wasOver ? 'The run was over before: nothing was done.' : undefined,
      lists.running.length > 0 ? 'It has not ended on those of running: signal KILL forces it.' : undefined,
      lists.not_reached.length > 0
        ? 'It may run on those of not_reached: repeat this call when they are back, or look with list_sessions.'
        : undefined,
    ),
  };
  return shown;
}
