import type { Answer } from '../calls/context.ts';
import { OutcomeUnknown, ServerRefusal } from '../lib/errors.ts';
import type { FleetServer } from './door.ts';
import type { FleetReply } from './envelope.ts';
import { withTags, withTagsInText } from './ids.ts';

/** The headers of a refusal that clients receive unchanged. */
const HEADERS = ['retry-after', 'agent3-code'];
const MAX_ERROR_CHARS = 100;
const MAX_MESSAGE_CHARS = 20_000;

/** Returns the answer of a server in the form that the hub sends. Throws `ServerRefusal` where the server refused the call. */
export function answerOf(
  { name, tag }: Pick<FleetServer, 'name' | 'tag'>,
  { status, headers, body }: Pick<FleetReply, 'status' | 'headers' | 'body'>,
  maxChars: number,
): Answer {
  const fields =
    typeof body === 'object' && body !== null && !Array.isArray(body) ? withTags({ ...body }, tag) : undefined;
  if (status === 200 && fields !== undefined) {
    // A field whose name is a number would come first.
    const others = Object.entries(fields).filter(([field]) => field !== 'server' && !/^\d+$/.test(field));
    const answer = { server: name, ...Object.fromEntries(others) };
    if (JSON.stringify(answer).length < maxChars) return answer;
    throw new OutcomeUnknown(
      `The call ran on ${name}, but its answer is too long to pass on. list_sessions with server shows what ran there.`,
    );
  }
  throw refusalOf(name, { status, headers, body: fields }, tag);
}

/** Returns the refusal of a server, with `tag` added to its ids. Throws `OutcomeUnknown` for any other answer. */
export function refusalOf(
  name: string,
  { status, headers, body }: Pick<FleetReply, 'status' | 'headers' | 'body'>,
  tag?: string,
): ServerRefusal {
  const { error, message }: { error?: unknown; message?: unknown } = body ?? {};
  const isRefusal = status >= 400 && status <= 599 && typeof error === 'string';
  if (!isRefusal)
    throw new OutcomeUnknown(
      `The call ran on ${name}, but its answer has an unknown format. list_sessions with server shows what ran there.`,
    );
  const cut = typeof message === 'string' ? message.slice(0, MAX_MESSAGE_CHARS) : '';
  const kept = Object.entries(headers).filter(
    ([header, value]) => HEADERS.includes(header) && /^[\w-]{1,40}$/.test(value),
  );
  return new ServerRefusal(
    status,
    error.slice(0, MAX_ERROR_CHARS),
    `${name}: ${tag === undefined ? cut : withTagsInText(cut, tag)}`.toWellFormed(),
    Object.fromEntries(kept),
  );
}

/** Returns the error of a call whose answer is lost. */
export function unknownOutcome(name: string, why: string, request: string): OutcomeUnknown {
  return new OutcomeUnknown(
    `The call was sent to ${name}, and ${why}: it may have run, and continue there. Look with list_sessions on ${name} before you repeat it; a repeat with the same key runs nothing twice. Its request id is ${request}.`,
  );
}
