import { jsonChars } from '../lib/utf8.ts';
import { plainText } from '../lib/visible.ts';
import type { Session, StoredStream, StreamName } from '../sessions/session.ts';
import { envelopeChars, finalSnapshot, messageOf, OMITTED_CHARS, type Snapshot, snapshot, turnFor } from './answer.ts';
import { type Answer, type CallContext, replyChars, revalidate } from './context.ts';
import type { OperationDeps } from './deps.ts';
import { binaryHint, cutHint, type Notes, reasonOf, recordHints } from './hints.ts';
import { MASK_HINT, type Masker } from './masking.ts';
import { type FittedStream, type FittedStreams, fitStreams, joinWithNote, omittedOf } from './reply.ts';

/** What a call of `shell` wants to see of the output. */
export interface OutputRequest {
  /** Most bytes of both streams together. */
  readonly max_output: number;
  readonly keep: 'both' | 'head' | 'tail';
  /** Whether escape sequences are left out; undefined: where the command has a terminal. */
  readonly plain?: boolean;
}

type Hints = readonly (string | undefined)[];

/**
 * The answer of `shell` for a session: its output as far as it fits, and what its record says. `isRepeat`: it is that
 * of an earlier call. Throws `AccessLapsed` when the token is gone by now: the answer is withheld.
 */
export async function shellAnswer(
  deps: OperationDeps,
  session: Session,
  given: OutputRequest,
  notes: Notes,
  isRepeat: boolean,
  called: CallContext,
): Promise<Answer> {
  const now = isRepeat ? snapshot(session, deps.clock) : finalSnapshot(session, deps.clock);
  await turnFor(called, now);
  const context = revalidate(called, withheld(session));
  const { streams, fields } = now;
  const build = (text: Texts, more: Answer, hints: Hints): Answer => {
    const ofRecord = recordHints(session.record, context.limits, notes.silence, streams.stdout.size);
    const truncated = more['omitted'] !== undefined;
    const { record } = session;
    const told = {
      ...(isRepeat && { repeat: true }),
      ...(record.status === 'waiting' && { reason: reasonOf(record) }),
    };
    return { ...text, ...fields, ...told, truncated, ...more, ...messageOf(...ofRecord, ...notes.more, ...hints) };
  };
  const fitted = fit(streams, given, context, envelopeChars(build({ stdout: '', stderr: '' }, {}, [])));
  const text = await textsOf(fitted, streams, context.masker, given.plain ?? session.record.input === 'terminal');
  const omitted = omittedOf(fitted.stdout.omitted, fitted.stderr.omitted);
  const hints = [cutHint(fitted, session.id), binaryHint(text.stdout, text.stderr), context.masker?.hint()];
  return build(text, omitted === undefined ? {} : { omitted }, hints);
}

type Streams = Snapshot['streams'];
type Texts = Readonly<Record<StreamName, string>>;

/** What of both streams fits beside `frameChars` of other fields; masks may then take what is left. */
function fit(streams: Streams, given: OutputRequest, context: CallContext, frameChars: number): FittedStreams {
  const { masker } = context;
  const reserve = frameChars + OMITTED_CHARS + HINT_CHARS + (masker === undefined ? 0 : MASK_HINT.length + 1);
  const budget = { bytes: given.max_output, chars: replyChars(context) - reserve };
  const fitted = fitStreams(streams.stdout, streams.stderr, budget, given.keep);
  masker?.allow(budget.chars - jsonChars(fitted.stdout.text) - jsonChars(fitted.stderr.text));
  return fitted;
}

/** The text of both streams as it is answered. One after the other: they share the room for masks. */
async function textsOf(
  fitted: FittedStreams,
  streams: Streams,
  masker: Masker | undefined,
  isPlain: boolean,
): Promise<Texts> {
  const show = (name: StreamName) => shown(masker, fitted[name], streams[name], isPlain ? plainText : same);
  return { stdout: await show('stdout'), stderr: await show('stderr') };
}

/** Characters kept for the hints that depend on the output: two calls and the one on binary output, escaped. */
const HINT_CHARS = 850;

const same = (text: string): string => text;

function withheld({ id }: Session): string {
  return ` by now, so the answer is withheld: its command was started, and was not stopped by that (session ${id})`;
}

/** A text as it is answered, without its secrets; what is before and behind a cut is masked with what was cut out. */
async function shown(
  masker: Masker | undefined,
  { text, omitted, parts }: FittedStream,
  stream: StoredStream,
  show: (text: string) => string,
): Promise<string> {
  if (masker === undefined) return show(text);
  if (omitted === undefined || parts === undefined) return masker.mask(show(text));
  const resume = omitted.offset + omitted.bytes;
  const head = await masker.maskPart(show(parts.head), stream, 0, omitted.offset, show);
  const tail = await masker.maskPart(show(parts.tail), stream, resume, stream.size, show);
  return joinWithNote({ head, tail }, omitted);
}
