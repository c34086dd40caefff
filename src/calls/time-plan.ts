import { BackgroundOff, InvalidArguments } from '../lib/errors.ts';

/** What a call says of its command's time. */
export interface TimeArguments {
  readonly background: boolean;
  readonly timeout?: number;
  readonly on_timeout?: 'kill' | 'background';
  readonly pty: boolean;
  readonly interactive: boolean;
}

export interface TimeLimits {
  readonly maxExecSeconds: number;
  /** 0: nothing runs in the background. */
  readonly maxBackgroundSeconds: number;
  readonly onTimeout: 'kill' | 'background';
}

export interface TimePlan {
  readonly executionSeconds: number;
  /** The answer leaves after this even when the command still runs; the reply window may close earlier. */
  readonly answerSeconds: number;
  /** It may outlive its call, and then the agent: its exit code is kept on disk. */
  readonly outlivesCall: boolean;
}

/** Chooses the limits of a command. Throws `InvalidArguments` for more time than there is, with what to do instead. */
export function planTime(given: TimeArguments, limits: TimeLimits): TimePlan {
  const { maxExecSeconds, maxBackgroundSeconds } = limits;
  if (given.background) return planBackground(given.timeout, maxBackgroundSeconds);
  if ((given.pty || given.interactive) && maxBackgroundSeconds > 0) return planDialogue(given.timeout, limits);
  const seconds = given.timeout ?? maxExecSeconds;
  if (seconds > maxExecSeconds) {
    const advice =
      maxBackgroundSeconds > maxExecSeconds ? ` With background: true it may be up to ${maxBackgroundSeconds}.` : '';
    throw new InvalidArguments(`timeout must be a number up to ${maxExecSeconds}, not ${seconds}.${advice}`);
  }
  const goesOn = (given.on_timeout ?? limits.onTimeout) === 'background' && maxBackgroundSeconds > seconds;
  return {
    executionSeconds: goesOn ? maxBackgroundSeconds : seconds,
    answerSeconds: goesOn ? seconds : Number.POSITIVE_INFINITY,
    outlivesCall: goesOn,
  };
}

/** Somebody types between the answers, and takes longer than a command may: the limit is that of the background. */
function planDialogue(timeout: number | undefined, { maxExecSeconds, maxBackgroundSeconds }: TimeLimits): TimePlan {
  const most = Math.max(maxExecSeconds, maxBackgroundSeconds);
  return { ...planBackground(timeout ?? most, most), answerSeconds: Number.POSITIVE_INFINITY };
}

function planBackground(timeout: number | undefined, maxBackgroundSeconds: number): TimePlan {
  if (maxBackgroundSeconds === 0) {
    throw new BackgroundOff();
  }
  const seconds = timeout ?? maxBackgroundSeconds;
  if (seconds > maxBackgroundSeconds) {
    throw new InvalidArguments(
      `timeout must be a number up to ${maxBackgroundSeconds} in the background, not ${seconds}. Split the work.`,
    );
  }
  return { executionSeconds: seconds, answerSeconds: 0, outlivesCall: true };
}
