import { type Answer, SPARE, STATE } from './context.ts';

/** A shorter time is not worth a word. */
const LONG_MS = 1000;

/**
 * An answer as the lean doors send it: without the fields that say nothing. What is not about one session stays as it
 * is. A session is named where something is left to read or do; `omitted` says what is missing, and `message` why.
 */
export function leanAnswer(answer: Answer): Answer {
  const { [STATE]: state, stdout, stderr, exit_code, status, session, duration_ms, ...others } = answer;
  const spare = answer[SPARE];
  if (spare !== undefined) return Object.fromEntries(Object.entries(answer).filter(([name]) => !spare.includes(name)));
  if (state === undefined) return answer;
  const { stdout_bytes, stderr_bytes, ...rest } = others;
  const { truncated, repeat: _repeat, reason: _reason, usage, next_offset, eof, ...more } = rest;
  // A page is cut where something follows it, not where something is before it.
  const isCut = eof === undefined ? truncated === true : eof === false;
  // Whoever types has read all there was, unless it did not fit.
  const hasNext = isCut && eof !== undefined && !('written' in more && next_offset === stdout_bytes);
  const isOpen = status === 'running' || status === 'waiting';
  const hasSize = (text: unknown, bytes: unknown): boolean => (text === undefined ? bytes !== 0 : isOpen || isCut);
  return {
    ...(stdout !== undefined && { stdout }),
    ...(stderr !== undefined && (stderr !== '' || stdout === undefined) && { stderr }),
    ...(exit_code !== null && { exit_code }),
    ...(status !== 'done' && { status }),
    ...((state.isNeeded || isCut) && { session }),
    ...(stdout_bytes !== undefined && hasSize(stdout, stdout_bytes) && { stdout_bytes }),
    ...(stderr_bytes !== undefined && stderr_bytes !== 0 && hasSize(stderr, stderr_bytes) && { stderr_bytes }),
    ...(typeof duration_ms === 'number' && duration_ms >= LONG_MS && { duration_ms }),
    ...(state.hitLimit && usage !== undefined && { usage }),
    ...(hasNext && { next_offset, eof }),
    ...more,
  };
}
