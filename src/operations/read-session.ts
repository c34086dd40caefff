import { type Static, Type } from '@sinclair/typebox';
import { type Snapshot, snapshot } from '../calls/answer.ts';
import { type CallContext, lookContext, type OperationDeps } from '../calls/context.ts';
import { LONGEST_TAIL_BYTES, TAIL_SECONDS, Tail } from '../calls/follow.ts';
import { leftOverOf, silenceOf } from '../calls/hints.ts';
import { matchesField, searchAnswer } from '../calls/search.ts';
import { sliceAnswer, sliceFields } from '../calls/slice.ts';
import { waitForPrompt } from '../commands/prompt.ts';
import type { Deadline } from '../lib/clock.ts';
import { LOOK_SECONDS, MAX_PATTERN_CHARS, MAX_WAIT_SECONDS } from '../lib/limits.ts';
import { Growth } from '../sessions/growth.ts';
import { outlivesMachine } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';

/** `read_session`: returns a slice of a session's output, and the state of its command. */
export function readSessionOperation(deps: OperationDeps): Operation {
  return defineOperation(deps, {
    name: 'read_session',
    summary: 'Read a session',
    description:
      'Reads what a command wrote and whether it runs: wait follows it, offset continues from next_offset, match finds lines.',
    args: argsSchema(deps),
    result: Type.Object({ ...sliceFields, matches: Type.Optional(matchesField) }),
    destructive: false,
    readOnly: true,
    whileFrozen: true,
    run: async (given, called, ignored) => {
      const session = deps.store.get(given.session, called.principal);
      const call = session.record.look === true ? lookContext(called) : called;
      if (given.wait > 0) call.watch?.(() => session.totalBytes());
      const isSearch = given.match !== undefined && given.until === 'end';
      if (given.wait > 0 && !isSearch) await waitFor(deps, session, given, call);
      if (outlivesMachine(session.record))
        await deps.commands.starts.onDisk(session, call.deadline.before(LOOK_SECONDS));
      const leftOver = await leftOverOf(deps.commands, session, call.masker);
      const notes = { silence: await silenceOf(deps.commands, session), leftOver, more: [ignored] };
      // A search waits by itself, for a line that matches.
      if (given.match !== undefined)
        return searchAnswer(
          deps,
          session,
          { ...given, match: given.match, wait: isSearch ? given.wait : 0 },
          call,
          notes,
        );
      return sliceAnswer(deps, session, given, notes, call);
    },
  });
}

function argsSchema({ limits }: OperationDeps) {
  return Type.Object({
    session: Type.String({ description: 'Id from an answer.' }),
    offset: Type.Integer({
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: 'First byte; negative: from the end.',
    }),
    limit: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      default: limits.maxOutputBytes,
      description: 'Bytes at most.',
    }),
    stream: Type.Union([Type.Literal('stdout'), Type.Literal('stderr')], {
      default: 'stdout',
      description: 'Which one.',
    }),
    wait: Type.Number({
      minimum: 0,
      maximum: MAX_WAIT_SECONDS,
      default: 0,
      description: 'Seconds to wait for the end, a match or a question.',
    }),
    until: Type.Union([Type.Literal('end'), Type.Literal('output')], {
      default: 'end',
      description: 'output: wait only for new output.',
    }),
    encoding: Type.Union([Type.Literal('utf8'), Type.Literal('base64')], {
      default: 'utf8',
      description: 'base64 for exact bytes.',
    }),
    match: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_PATTERN_CHARS,
        description: 'Regular expression; (?i) ignores case. Only lines that match.',
      }),
    ),
    context_lines: Type.Integer({
      minimum: 0,
      maximum: 20,
      default: 0,
      description: 'Lines around each match.',
    }),
    plain: Type.Optional(Type.Boolean({ description: 'No escape sequences. Default: true after pty.', ...SELDOM })),
  });
}

type ReadArguments = Static<ReturnType<typeof argsSchema>>;

/** Waits, as long as the call allows: for the end of the command or its question, or for output after the offset. */
async function waitFor(deps: OperationDeps, session: Session, given: ReadArguments, call: CallContext): Promise<void> {
  const { commands } = deps;
  const deadline = call.deadline.before(LOOK_SECONDS).orAfter(given.wait);
  if (given.until === 'output') return waitForMore(deps, session, given, call, deadline);
  for (;;) {
    // Of a command that waits for a person, this is the end of that wait.
    const end = commands.endOf(session);
    if (end === undefined || call.shutdown.fired || deadline.passed) return;
    if (commands.inputOf(session) !== undefined) return waitForPrompt(commands, session, deadline, call.shutdown);
    await deadline.waitFor(end, call.shutdown);
  }
}

async function waitForMore(
  deps: OperationDeps,
  session: Session,
  given: ReadArguments,
  call: CallContext,
  deadline: Deadline,
): Promise<void> {
  using growth = new Growth(session.path(given.stream));
  const tail = call.masker === undefined ? undefined : new Tail();
  for (;;) {
    const grown = growth.next();
    const end = deps.commands.endOf(session);
    if (end === undefined || call.shutdown.fired || deadline.passed) return;
    const isMore = hasMore(snapshot(session, deps.clock), given);
    if (isMore && !isHeld(session, given, tail)) return;
    await (isMore ? deadline.orAfter(TAIL_SECONDS) : deadline).waitFor(end, call.shutdown, grown);
  }
}

/** Whether the output ends with the beginning of a word, which may become a secret. */
function isHeld(session: Session, { stream, offset }: ReadArguments, tail: Tail | undefined): boolean {
  if (tail === undefined) return false;
  const size = session.sizeOf(stream);
  const from = Math.max(0, offset, size - 2 * LONGEST_TAIL_BYTES);
  const last = session.stream(stream).read(from, size - from);
  return tail.heldOf(last, from) > 0;
}

/** After a negative offset, all output is new. */
function hasMore({ streams }: Snapshot, given: ReadArguments): boolean {
  return streams[given.stream].size > Math.max(0, given.offset);
}
