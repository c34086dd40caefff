import { type Static, Type } from '@sinclair/typebox';
import { MAX_WAIT_SECONDS } from '../core/limits.ts';
import { Growth } from '../sessions/growth.ts';
import type { Session, StreamName } from '../sessions/session.ts';
import { envelopeChars, messageOf, outputFields, type Snapshot, snapshot } from './answer.ts';
import { unknownNames } from './arguments.ts';
import { statusHint, survivorsHint } from './hints.ts';
import { type Answer, type Call, defineOperation, type Operation } from './operation.ts';
import { readEnd, readPage } from './page.ts';
import type { OperationParts } from './parts.ts';

/** `read_session`: a slice of a session's output, and the state of its command. */
export function readSessionOperation(parts: OperationParts): Operation {
  return defineOperation({
    name: 'read_session',
    summary: 'Read the output of a session',
    description:
      'Reads a slice of what a command wrote, and tells whether it still runs. Follow next_offset until eof for the whole stream; wait lets the answer come as soon as there is more or the command has ended.',
    args: argsSchema(parts),
    result: Type.Object({
      ...outputFields,
      next_offset: Type.Integer({ description: 'Where the next read of this stream begins, in bytes.' }),
      eof: Type.Boolean({ description: 'True when the command has ended and nothing follows.' }),
    }),
    destructive: false,
    readOnly: true,
    run: async (given, call, ignored) => {
      const session = parts.store.get(given.session, call.principal);
      if (given.wait > 0) await waitForMore(parts, session, given, call);
      return answer(parts, session, given, ignored.length > 0 ? unknownNames(ignored) : undefined);
    },
  });
}

function argsSchema({ limits }: OperationParts) {
  return Type.Object({
    session: Type.String({ description: 'The id from an answer of shell.' }),
    offset: Type.Integer({
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: 'Where to start, in bytes; negative counts from the end.',
    }),
    limit: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      default: limits.maxOutputBytes,
      description: 'At most so many bytes; one answer holds no more than its budget.',
    }),
    stream: Type.Union([Type.Literal('stdout'), Type.Literal('stderr')], {
      default: 'stdout',
      description: 'Which stream offset and limit speak of.',
    }),
    wait: Type.Number({
      minimum: 0,
      maximum: MAX_WAIT_SECONDS,
      default: 0,
      description: 'Seconds to wait until there is something past offset or the command has ended.',
    }),
    encoding: Type.Union([Type.Literal('utf8'), Type.Literal('base64')], {
      default: 'utf8',
      description: 'base64 gives the exact bytes, of both streams.',
    }),
  });
}

type ReadArguments = Static<ReturnType<typeof argsSchema>>;

/** Waits, as long as the call allows, until the stream has something past the offset or the command has ended. */
async function waitForMore(parts: OperationParts, session: Session, given: ReadArguments, call: Call): Promise<void> {
  const deadline = call.deadline.orAfter(given.wait);
  using growth = new Growth(session.path(given.stream));
  for (;;) {
    const grown = growth.next();
    const end = parts.commands.endOf(session);
    if (end === undefined || call.shutdown.fired || deadline.passed) return;
    if (hasMore(snapshot(session, parts.clock), given)) return;
    await deadline.waitFor(end, call.shutdown, grown);
  }
}

/** From a negative offset on, anything written is something to read. */
function hasMore({ streams }: Snapshot, given: ReadArguments): boolean {
  return streams[given.stream].size > Math.max(0, given.offset);
}

function answer(parts: OperationParts, session: Session, given: ReadArguments, note: string | undefined): Answer {
  const now = snapshot(session, parts.clock);
  const { record } = session;
  const message = messageOf(statusHint(record, parts.limits), survivorsHint(record.survivors), note);
  const frame = { ...now.fields, truncated: false, next_offset: Number.MAX_SAFE_INTEGER, eof: false, ...message };
  const room = parts.limits.maxReplyChars - 1 - envelopeChars(frame);
  const name: StreamName = given.stream;
  const other: StreamName = name === 'stdout' ? 'stderr' : 'stdout';

  const bytes = Math.min(given.limit, parts.limits.maxOutputBytes);
  const page = readPage(now.streams[name], given.offset, { bytes, chars: room }, given.encoding);
  const left = { bytes: Math.max(0, parts.limits.maxOutputBytes - (page.end - page.start)), chars: room - page.chars };
  const rest = readEnd(now.streams[other], left, given.encoding);

  const whole = page.start === 0 && page.end >= now.streams[name].size && rest.start === 0;
  return {
    stdout: name === 'stdout' ? page.text : rest.text,
    stderr: name === 'stderr' ? page.text : rest.text,
    ...now.fields,
    truncated: !whole,
    next_offset: page.end,
    eof: !now.running && page.end >= now.streams[name].size,
    ...message,
  };
}
