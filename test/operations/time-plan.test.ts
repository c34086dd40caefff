import { describe, expect, test } from 'bun:test';
import { InvalidArguments } from '../../src/lib/errors.ts';
import { planTime, type TimeArguments, type TimeLimits, type TimePlan } from '../../src/operations/shell-arguments.ts';

const limits: TimeLimits = { maxExecSeconds: 45, maxBackgroundSeconds: 3600, onTimeout: 'kill', replySeconds: 40 };
const plain = { background: false, pty: false, interactive: false };
const NO_END = Number.POSITIVE_INFINITY;

describe('the time of a command of POST /', () => {
  const cases: readonly [what: string, given: Partial<TimeArguments>, changed: Partial<TimeLimits>, plan: TimePlan][] =
    [
      ['as usual', {}, {}, { executionSeconds: 45, answerSeconds: NO_END, outlivesCall: false }],
      ['shortened', { timeout: 3 }, {}, { executionSeconds: 3, answerSeconds: NO_END, outlivesCall: false }],
      ['made longer', { timeout: 120 }, {}, { executionSeconds: 120, answerSeconds: NO_END, outlivesCall: true }],
      [
        'under the rule of a server that lets commands continue',
        {},
        { onTimeout: 'background' },
        { executionSeconds: 3600, answerSeconds: 45, outlivesCall: true },
      ],
      [
        'with a timeout, under that rule',
        { timeout: 10 },
        { onTimeout: 'background' },
        { executionSeconds: 10, answerSeconds: NO_END, outlivesCall: false },
      ],
      ['in the background', { background: true }, {}, { executionSeconds: 3600, answerSeconds: 0, outlivesCall: true }],
      [
        'that continues in the background',
        { timeout: 10, on_timeout: 'background' },
        {},
        { executionSeconds: 3600, answerSeconds: 10, outlivesCall: true },
      ],
      ['in a dialogue', { pty: true }, {}, { executionSeconds: 3600, answerSeconds: NO_END, outlivesCall: true }],
      [
        'in a dialogue with a limit',
        { interactive: true, timeout: 100 },
        {},
        { executionSeconds: 100, answerSeconds: NO_END, outlivesCall: true },
      ],
      [
        'in a dialogue without a background',
        { pty: true },
        { maxBackgroundSeconds: 0 },
        { executionSeconds: 45, answerSeconds: NO_END, outlivesCall: false },
      ],
      [
        'in a dialogue, where commands may take longer than the background',
        { pty: true },
        { maxExecSeconds: 100, maxBackgroundSeconds: 50 },
        { executionSeconds: 100, answerSeconds: NO_END, outlivesCall: true },
      ],
    ];
  test.each(cases)('%s', (_, given, changed, plan) => {
    expect(planTime({ ...plain, ...given }, { ...limits, ...changed }, false)).toEqual(plan);
  });

  const refused: readonly [given: Partial<TimeArguments>, changed: Partial<TimeLimits>][] = [
    [{ timeout: 3601 }, {}],
    [{ timeout: 46 }, { maxBackgroundSeconds: 0 }],
    [{ timeout: 31 }, { foregroundSeconds: 30 }],
    [{ timeout: 3601, background: true }, {}],
    [{ timeout: 3601, pty: true }, {}],
    [{ background: true }, { maxBackgroundSeconds: 0 }],
  ];
  test.each(refused)('%j with %j is refused', (given, changed) => {
    expect(() => planTime({ ...plain, ...given }, { ...limits, ...changed }, false)).toThrow(InvalidArguments);
  });
});

describe('the time of a command of the lean doors', () => {
  const lasting = { answerSeconds: NO_END, outlivesCall: true };
  const brief = { answerSeconds: NO_END, outlivesCall: false };
  const cases: readonly [what: string, given: Partial<TimeArguments>, changed: Partial<TimeLimits>, plan: TimePlan][] =
    [
      ['that names no timeout', {}, {}, { executionSeconds: 3600, ...brief }],
      ['with a timeout', { timeout: 3 }, {}, { executionSeconds: 3, ...brief }],
      ['with a long timeout', { timeout: 600 }, {}, { executionSeconds: 600, ...lasting }],
      ['that may be killed at no timeout', { on_timeout: 'kill' }, {}, { executionSeconds: 3600, ...brief }],
      ['whatever the rule for POST / is', {}, { onTimeout: 'background' }, { executionSeconds: 3600, ...brief }],
      ['without a background', {}, { maxBackgroundSeconds: 0 }, { executionSeconds: 45, ...brief }],
      ['with the limit of a profile', {}, { foregroundSeconds: 30 }, { executionSeconds: 30, ...brief }],
      ['with a longer limit of a profile', {}, { foregroundSeconds: 100 }, { executionSeconds: 100, ...brief }],
      ['with that of its background', {}, { maxBackgroundSeconds: 600 }, { executionSeconds: 600, ...brief }],
    ];
  test.each(cases)('%s', (_, given, changed, plan) => {
    expect(planTime({ ...plain, ...given }, { ...limits, ...changed }, true)).toEqual(plan);
  });
});
