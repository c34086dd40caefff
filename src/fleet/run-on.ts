import { type Static, Type } from '@sinclair/typebox';
import { type Hint, messageOf } from '../calls/answer.ts';
import { type Answer, type CallContext, revalidate } from '../calls/context.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { foldNames } from '../lib/fold-names.ts';
import { LOOK_SECONDS, MAX_COMMAND_CHARS, MAX_KEY_CHARS, MAX_WAIT_SECONDS, MIN_OUTPUT_BYTES } from '../lib/limits.ts';
import { defineOperation, type Operation, SELDOM } from '../operations/operation.ts';
import { chooseServers, planBatches } from './choose.ts';
import type { FleetServer } from './door.ts';
import type { FleetDeps } from './fleet-deps.ts';
import { type Group, groupRefusals, groupResults } from './groups.ts';
import { type Plan, type Progress, Run } from './run.ts';
import { askOnceOf, callsOf } from './run-calls.ts';
import type { Runs } from './runs.ts';
import { stopRun } from './stop-run.ts';

/** Limit for servers that are called at the same time. */
const MOST_PARALLEL = 16;
const MOST_SERVERS = 500;
/** Default for `max_output`. */
const OUTPUT_BYTES = 8192;
/** Characters of an answer for everything except the output. */
const ROOM_CHARS = 20_000;

const names = Type.Array(Type.String());
/** A name has at most 63 characters; the rest is for ranges. */
const pattern = Type.String({ maxLength: 200 });
const groupSchema = Type.Object({
  servers: names,
  exit_code: Type.Union([Type.Integer(), Type.Null()]),
  status: Type.Optional(Type.String({ description: 'How it ended, if not by itself: timeout, killed, denied …' })),
  stdout: Type.Optional(Type.String()),
  stderr: Type.Optional(Type.String()),
  diff: Type.Optional(Type.String({ description: 'Instead of stdout: how it differs from the first group.' })),
  sessions: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'By server: sessions that hold more of the output.' }),
  ),
  omitted_chars: Type.Optional(
    Type.Integer({ description: 'The output does not fit here; read_run with server has it.' }),
  ),
});

const result = Type.Object({
  servers: Type.Array(Type.String(), { description: 'The servers of the run; web[1-3] is web1, web2 and web3.' }),
  run: Type.String({ description: 'Id for read_run.' }),
  status: Type.Union([Type.Literal('done'), Type.Literal('running'), Type.Literal('stopped')]),
  groups: Type.Array(groupSchema, { description: 'Servers with the same answer, the largest group first.' }),
  running: Type.Optional(names),
  waiting: Type.Optional(Type.Array(Type.String(), { description: 'A person has to approve it on these.' })),
  plan: Type.Optional(Type.Boolean({ description: 'One approval at the console of the hub is for the whole run.' })),
  unreachable: Type.Optional(Type.Array(Type.String(), { description: 'Nothing was run on these.' })),
  failed: Type.Optional(
    Type.Array(Type.Object({ servers: names, error: Type.String(), message: Type.String() }), {
      description: 'Refusals of servers.',
    }),
  ),
  not_started: Type.Optional(names),
  message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
});
type Shown = Static<typeof result>;

/** `cmd`, `cwd`, `stdin`, `timeout` and `key` are those of `shell`, which has their descriptions. */
const args = Type.Object({
  cmd: Type.String({ minLength: 1, maxLength: MAX_COMMAND_CHARS }),
  servers: Type.Optional(Type.Array(pattern, { maxItems: MOST_SERVERS, description: 'Names, such as web[1-3].' })),
  select: Type.Optional(
    Type.String({
      maxLength: 1000,
      description: 'Instead: labels, role=web,env=prod. failed:RUN is where a run failed.',
    }),
  ),
  except: Type.Array(pattern, { default: [], maxItems: MOST_SERVERS, description: 'Names to leave out.' }),
  parallel: Type.Integer({
    minimum: 1,
    maximum: MOST_PARALLEL,
    default: MOST_PARALLEL,
    description: 'Servers at once.',
    ...SELDOM,
  }),
  batches: Type.Array(Type.Union([Type.Integer(), Type.String()]), {
    default: [],
    maxItems: 100,
    description: 'Sizes, one batch after the other: [1, "10%", "100%"].',
  }),
  max_failures: Type.Integer({
    minimum: 0,
    default: 0,
    description: 'With more, no further batch begins. Unreachable is a failure.',
  }),
  cwd: Type.Optional(Type.String({ pattern: '^/' })),
  stdin: Type.Optional(Type.String()),
  timeout: Type.Optional(Type.Number({ minimum: 0.1 })),
  key: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_KEY_CHARS })),
  max_output: Type.Integer({
    minimum: MIN_OUTPUT_BYTES,
    maximum: 65_536,
    default: OUTPUT_BYTES,
    description: 'Bytes from each server.',
  }),
  wait: Type.Number({
    minimum: 0,
    maximum: MAX_WAIT_SECONDS,
    default: MAX_WAIT_SECONDS,
    description: 'Seconds to wait for the end of all.',
    ...SELDOM,
  }),
});
type RunOnArguments = Static<typeof args>;

/** `run_on` and `read_run`: one command on many servers. */
export function manyOperations(fleet: FleetDeps): Operation[] {
  return [runOnOperation(fleet), readRunOperation(fleet)];
}

function runOnOperation(fleet: FleetDeps): Operation {
  const { deps, door, runs } = fleet;
  return defineOperation(deps, {
    name: 'run_on',
    summary: 'Run on many servers',
    description:
      'Runs one shell command on several servers. Equal answers come once, in groups. What is not done in time continues; read_run follows it. Try a change on one server first, with batches.',
    args,
    // Importers of documents take no unions.
    documented: {
      batches: Type.Optional(
        Type.Array(Type.String(), { description: 'Sizes, one batch after the other: ["1", "10%", "100%"].' }),
      ),
    },
    result,
    destructive: false,
    readOnly: false,
    run: async (given, context, ignored) => {
      if (given.servers?.includes(door.hubName) === true)
        throw new InvalidArguments(`${door.hubName} is the hub itself: shell runs there. Nothing was run.`);
      const servers = serversOf(given, context, door.servers(), runs);
      const batches = planBatches(servers.length, given.batches);
      const { cmd, cwd, stdin, timeout, key, max_output } = given;
      const shell = { cmd, cwd, stdin, timeout, key, max_output };
      const plan = {
        servers,
        batches,
        args: Object.fromEntries(Object.entries(shell).filter(([, value]) => value !== undefined)),
        parallel: given.parallel,
        maxFailures: given.max_failures,
      };
      const calls = callsOf(fleet, context);
      const wanted = new Run(context.principal, plan, calls, askOnceOf(fleet));
      const run = runs.begin(wanted);
      const repeat = run === wanted ? undefined : repeatHint(run.plan, plan);
      const unsubscribe = context.cancelled?.subscribe(() => void stopRun(run, 'TERM', calls));
      context.watch?.(() => 0);
      // Who waits for a person is told so at once.
      await run.settled(context.deadline.before(LOOK_SECONDS).orAfter(given.wait), context.shutdown, run.asks);
      unsubscribe?.();
      return describeRun(run, revalidate(context, withheld(run)), [repeat, ignored]);
    },
  });
}

function readRunOperation({ deps, runs }: FleetDeps): Operation {
  return defineOperation(deps, {
    name: 'read_run',
    summary: 'Follow run_on',
    description: 'Shows the state of a run_on. With server, the output of that one in full.',
    args: Type.Object({
      run: Type.String({ description: 'Id from run_on.' }),
      server: Type.Optional(Type.String({ description: 'One server of the run.' })),
      wait: Type.Number({
        minimum: 0,
        maximum: MAX_WAIT_SECONDS,
        default: 0,
        description: 'Seconds, for the end of all.',
      }),
    }),
    result,
    destructive: false,
    readOnly: true,
    whileFrozen: true,
    run: async ({ run: id, server, wait }, context, ignored) => {
      const run = runs.get(id, context.principal);
      if (wait > 0) await run.settled(context.deadline.before(LOOK_SECONDS).orAfter(wait), context.shutdown);
      return describeRun(run, revalidate(context, withheld(run)), [ignored], server);
    },
  });
}

const withheld = ({ id }: Run): string =>
  `, so the answer is withheld: what was begun continues, on no more servers (run ${id})`;

const FAILED = 'failed:';

function serversOf(
  { servers, select, except }: RunOnArguments,
  { principal }: CallContext,
  all: readonly FleetServer[],
  runs: Runs,
): FleetServer[] {
  const isAgain = select?.startsWith(FAILED) === true;
  const chosen = isAgain
    ? chooseServers(all, { servers: failuresOf(runs.get(select.slice(FAILED.length), principal)), except })
    : chooseServers(all, { servers, select, except });
  if (chosen.length <= MOST_SERVERS) return chosen;
  throw new InvalidArguments(
    `These are ${chosen.length} servers, and a run may have at most ${MOST_SERVERS}. Nothing was run.`,
  );
}

function repeatHint(first: Plan, plan: Plan): string {
  const isSame = Bun.deepEquals(first.args, plan.args) && Bun.deepEquals(namesIn(first), namesIn(plan));
  const other = isSame ? '' : ' That call was another one: use a new key for a new call.';
  return `This key was used before, so nothing was run again; this is the run of the first call.${other}`;
}

function namesIn({ servers }: Plan): string[] {
  return servers.map(({ name }) => name);
}

function failuresOf(run: Run): string[] {
  const { failures } = run;
  if (failures.length > 0) return failures;
  throw new InvalidArguments('No server has failed in this run. Nothing was run.');
}

/** The answer about a run as it is now; about one server of it where `only` names that. */
function describeRun(run: Run, context: CallContext, hints: readonly Hint[], only?: string): Answer {
  const all = [...run.progress].filter(([name]) => only === undefined || name === only);
  if (all.length === 0) throw new InvalidArguments(`The run has no server ${JSON.stringify(only)}.`);
  const named = (kind: Progress['kind']): string[] =>
    foldNames(all.flatMap(([name, one]) => (one.kind === kind ? [name] : [])));
  const results = all.flatMap(([, one]) => (one.kind === 'done' ? [one.result] : []));
  const groups: Group[] = groupResults(results, context.maxReplyChars - ROOM_CHARS);
  const lists = {
    running: named('running'),
    waiting: named('waiting'),
    unreachable: named('unreachable'),
    not_started: named('not started'),
  };
  const failed = groupRefusals(all.flatMap(([name, one]) => (one.kind === 'failed' ? [{ ...one, name }] : [])));
  const shown: Shown = {
    servers: foldNames(all.map(([name]) => name)),
    run: run.id,
    status: !run.finished.fired ? 'running' : lists.not_started.length > 0 ? 'stopped' : 'done',
    groups: groups.map((group) => ({ ...group, servers: [...group.servers] })),
    ...Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)),
    ...((run.approval?.waiting.length ?? 0) > 0 && { plan: true }),
    ...(failed.length > 0 && { failed }),
    ...messageOf(...hints, adviceOf(run)),
  };
  return shown;
}

function adviceOf(run: Run): string | undefined {
  const follow = `Follow it with read_run {"run":"${run.id}","wait":40}.`;
  if (!run.finished.fired && run.stopped.fired)
    return `It was stopped, and has not ended everywhere. ${follow} kill_session {"session":"${run.id}","signal":"KILL"} forces the end.`;
  if (!run.finished.fired)
    return `It continues.${describeAsking(run)} ${follow} kill_session with this id stops all of it.`;
  if (run.stopped.fired) return 'It was stopped: nothing more is started.';
  if (run.approval?.denied.fired === true) return 'A person has denied it: nothing more is started.';
  if (run.stoppedBefore === undefined) return undefined;
  return `Batch ${run.stoppedBefore} was not begun: ${run.failures.length} failed, and max_failures is ${run.plan.maxFailures}.`;
}

/** Continues the sentence that a run continues. */
function describeAsking({ approval }: Run): string {
  if (approval === undefined || approval.waiting.length === 0) return '';
  return approval.decided === 'approve'
    ? ' A person has approved it.'
    : ' A person approves or denies the whole run at the console of the hub, or each part at its server.';
}
