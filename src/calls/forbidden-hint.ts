import { OPERATIONS, type Profile } from '../access/profile.ts';
import type { Answer, Call } from '../calls/call.ts';

const BEFORE = ' The profile of this token does not allow ';
/** The sentence with all of them. */
const MOST_CHARS = BEFORE.length + OPERATIONS.join(', ').length + 1;

/** A call that leaves room in its answer for what `withForbidden` says; `usual` is the room of answers without a limit of their own. */
export function roomFor({ operations }: Profile, call: Call, usual: number): Call {
  return operations === undefined ? call : { ...call, maxReplyChars: (call.maxReplyChars ?? usual) - MOST_CHARS };
}

/** An answer that says which of the operations that its message advises the token may not use. */
export function withForbidden(answer: Answer, { operations }: Profile): Answer {
  const { message } = answer;
  if (operations === undefined || typeof message !== 'string') return answer;
  const forbidden = OPERATIONS.filter((name) => message.includes(name) && !operations.includes(name));
  return forbidden.length === 0 ? answer : { ...answer, message: `${message}${BEFORE}${forbidden.join(', ')}.` };
}
