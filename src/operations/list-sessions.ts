import { type Static, Type } from '@sinclair/typebox';
import { messageOf, outputFields, takenOver, withFrozen } from '../calls/answer.ts';
import { type Answer, type CallContext, type OperationDeps, replyChars, SPARE } from '../calls/context.ts';
import { whyStopped } from '../calls/status-hints.ts';
import { asSessionId, SESSION_STATUSES } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import { defineOperation, type Operation } from './operation.ts';

const MOST_SESSIONS = 100;
const DEFAULT_SESSIONS = 20;

/** Characters of a command in a list: 100 of them stay far below the limit of an answer. */
const SHOWN_COMMAND_CHARS = 200;

/** `list_sessions`: lists the commands that run and ran, newest first. */
export function listSessionsOperation(deps: OperationDeps): Operation {
  return defineOperation(deps, {
    name: 'list_sessions',
    summary: 'List sessions',
    description: 'Lists your commands, newest first. Finds a session again after a lost answer.',
    args: argsSchema,
    result: resultSchema,
    destructive: false,
    readOnly: true,
    whileFrozen: true,
    run: async (given, call, ignored) => {
      // There may be thousands of sessions to look through.
      await deps.turns.take(call.principal);
      return answer(deps, call, given, ignored);
    },
  });
}

const argsSchema = Type.Object({
  status: Type.Optional(
    Type.Union(
      SESSION_STATUSES.map((status) => Type.Literal(status)),
      { description: 'Only these.' },
    ),
  ),
  limit: Type.Integer({
    minimum: 1,
    maximum: MOST_SESSIONS,
    default: DEFAULT_SESSIONS,
    description: 'At most.',
  }),
  before: Type.Optional(Type.String({ description: 'next_before, for older ones.' })),
});

const sessionSchema = Type.Object({
  session: Type.String({ description: 'Id of the session.' }),
  status: Type.String({ description: 'done, running, timeout, killed, output_limit, lost, denied or waiting.' }),
  frozen: outputFields.frozen,
  taken_over: outputFields.taken_over,
  cmd: Type.String({ description: 'The beginning of the command.' }),
  started_at: Type.String({ description: 'Start, ISO 8601, UTC.' }),
  duration_ms: Type.Integer({ description: 'Wall time so far, in milliseconds.' }),
  exit_code: Type.Union([Type.Integer(), Type.Null()], { description: 'Exit code; null while it runs.' }),
  stdout_bytes: Type.Integer({ description: 'Size of standard output, in bytes.' }),
  stderr_bytes: Type.Integer({ description: 'Size of standard error, in bytes.' }),
  reason: Type.Optional(Type.String({ description: 'Why it was stopped, if no call asked for that.' })),
});

const resultSchema = Type.Object({
  sessions: Type.Array(sessionSchema, { description: 'The sessions, newest first.' }),
  total: Type.Integer({ description: 'How many sessions match in all.' }),
  next_before: Type.Union([Type.String(), Type.Null()], {
    description: 'Pass as before for older sessions; null at the end of the list.',
  }),
  contexts: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        cwd: Type.String({ description: 'Where its next command begins.' }),
        bytes: Type.Integer({ description: 'What it keeps.' }),
        used_at: Type.String({ description: 'ISO 8601, UTC.' }),
        session: Type.Optional(Type.String({ description: 'The session that uses it now.' })),
      }),
      { description: 'Contexts of shell; close_session drops one.' },
    ),
  ),
  message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
});

type ListArguments = Static<typeof argsSchema>;

function answer(deps: OperationDeps, call: CallContext, given: ListArguments, ignored: string | undefined): Answer {
  const before = given.before === undefined ? undefined : asSessionId(given.before);
  const matching = deps.store
    .newestFirst()
    .filter(({ record }) => record.principal === call.principal && !record.closed)
    .filter(({ record }) => given.status === undefined || record.status === given.status);
  // Ids sort by time of creation.
  const from = before === undefined ? 0 : matching.findIndex(({ id }) => id < before);
  const listed = from === -1 ? [] : matching.slice(from, from + given.limit);
  const all = listed.map((one) => row(one, deps.clock.now()));
  const rows = (call.isLean ? all.map(leanRow) : all).map((one) => withFrozen(one, deps.freeze));
  const contexts = contextsOf(deps, call);
  const page = rows.slice(0, fitting(rows, replyChars(call) - FRAME_CHARS - JSON.stringify(contexts).length));
  const isLast = from === -1 || from + page.length >= matching.length;
  const wrongBefore = given.before !== undefined && before === undefined;
  return {
    sessions: page,
    total: matching.length,
    next_before: isLast ? null : (listed[page.length - 1]?.id ?? null),
    ...(isLast && { [SPARE]: ['next_before'] }),
    ...contexts,
    ...messageOf(
      wrongBefore
        ? 'before is not a session id, so the list begins with the newest; take it from next_before.'
        : undefined,
      ignored,
    ),
  };
}

/** The contexts of a token, if it has any. */
function contextsOf({ contexts }: OperationDeps, { principal }: CallContext) {
  const all = contexts.list(principal).map(({ used_at, session, ...one }) => {
    return { ...one, used_at: new Date(used_at).toISOString(), ...(session !== undefined && { session }) };
  });
  return all.length === 0 ? {} : { contexts: all };
}

/** An answer without its rows, with the longest message. */
const FRAME_CHARS = 1000;

/** Returns how many rows have at most `chars` characters of JSON; at least one, so that every page advances. */
function fitting(rows: readonly object[], chars: number): number {
  let left = chars;
  const end = rows.findIndex((one) => {
    left -= JSON.stringify(one).length + 1;
    return left < 0;
  });
  return end === -1 ? rows.length : Math.max(1, end);
}

function row(session: Session, now: number): Static<typeof sessionSchema> {
  const { record } = session;
  const isRunning = record.status === 'running';
  const why = whyStopped(record);
  return {
    session: session.id,
    status: record.status,
    ...takenOver(session),
    cmd: shorten(record.cmd),
    started_at: new Date(record.started_at).toISOString(),
    duration_ms: record.duration_ms ?? Math.max(0, now - record.started_at),
    exit_code: record.exit_code,
    // The sizes of an ended session are known; those of a running one are read.
    stdout_bytes: isRunning ? session.sizeOf('stdout') : record.stdout_bytes,
    stderr_bytes: isRunning ? session.sizeOf('stderr') : record.stderr_bytes,
    ...(why !== undefined && { reason: why }),
  };
}

/**
 * Returns a row without fields that add nothing, for the lean doors: without a status, it has ended well and quickly.
 */
function leanRow({ started_at, ...row }: Static<typeof sessionSchema>): Answer {
  const isBrief = row.duration_ms < BRIEF_MS;
  const fields = Object.entries(row).filter(
    ([name, value]) =>
      value !== null && value !== 0 && !(name === 'status' && value === 'done') && !(isBrief && name === 'duration_ms'),
  );
  return { ...Object.fromEntries(fields), started_at: started_at.replace(/\.\d+Z$/, 'Z') };
}

/** The lean doors show no duration below this. */
const BRIEF_MS = 1000;

function shorten(cmd: string): string {
  if (cmd.length <= SHOWN_COMMAND_CHARS) return cmd;
  // Not between the halves of a surrogate pair.
  return `${cmd.slice(0, SHOWN_COMMAND_CHARS).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
