import { describe, expect, test } from 'bun:test';
import { type HintContext, statusHint, survivorsHint } from '../../src/calls/status-hints.ts';
import type { SessionRecord } from '../../src/sessions/record.ts';

const limits = { replySeconds: 40, maxExecSeconds: 45, maxBackgroundSeconds: 3600, maxSessionBytes: 1000 };
const told = { durationMs: 39_800, next: 7 };

/** What a door says of a record with these fields. */
function said(
  fields: Partial<SessionRecord>,
  context: Partial<HintContext> = {},
  more: object = {},
): string | undefined {
  const record = { execution_seconds: 45, stdout_bytes: 7, stderr_bytes: 0, key: null, ...fields } as SessionRecord;
  const hint = statusHint(record, { limits, ...context }, { ...told, ...more });
  return typeof hint === 'object' ? hint.text : hint;
}

describe('POST / says of a command that', () => {
  test('is about to be stopped: when, and how to let such a one run on', () => {
    expect(said({ status: 'running' })).toBe(
      'The command is still running, and will be stopped in 5 s at its limit of 45 s. Call read_session with this session, offset: 7 and wait: 40 to follow it. To let such a command run on, send it with on_timeout: "background".',
    );
  });

  test('has time: until when', () => {
    expect(said({ status: 'running', execution_seconds: 3600 })).toContain('up to its limit of 3600 s');
  });

  test('was stopped: why, and what may be done', () => {
    expect(said({ status: 'killed' })).toContain('on request');
    expect(said({ status: 'timeout' })).toContain('With background: true it may run up to 3600 s');
    expect(said({ status: 'timeout', execution_seconds: 3 })).toContain('A timeout of up to 3600 is allowed.');
    expect(said({ status: 'timeout', execution_seconds: 3600 })).toContain('Split the work');
  });
});

describe('the lean doors say of a command that', () => {
  const lean = { isLean: true };

  test('runs: for how long, and the one call that follows it', () => {
    expect(said({ status: 'running', execution_seconds: 3600 }, lean)).toBe(
      'It runs up to 3600 s; next: read_session offset 7, wait 40.',
    );
    expect(said({ status: 'running' }, lean)).toBe(
      'It will be stopped in 5 s, at the limit of 45 s; next: read_session offset 7, wait 40.',
    );
  });

  test('runs, no call where a field or the look at its silence says what comes next', () => {
    const asks = { silence: { text: 'it asks', asks: true, serves: false, calls: [] } };
    expect(said({ status: 'running' }, lean, { next: 'next_offset' })).toBeUndefined();
    expect(said({ status: 'running', execution_seconds: 3600 }, lean, asks)).toBe('It runs up to 3600 s.');
  });

  test('was stopped: what no field says', () => {
    expect(said({ status: 'killed' }, lean)).toBeUndefined();
    expect(said({ status: 'killed', taken_back: true }, lean)).toContain('its client took the call back');
    expect(said({ status: 'killed', stopped_by: 'Anna (console)' }, lean)).toBe(
      'The command was stopped because the owner of the server ordered it: Anna (console).',
    );
    expect(said({ status: 'timeout', execution_seconds: 3 }, lean)).toBe(
      'It was stopped after 3 s. Without timeout it runs up to 3600 s.',
    );
    const held = { limits: { ...limits, foregroundSeconds: 3 }, isLean: true };
    expect(said({ status: 'timeout', execution_seconds: 3 }, held)).toContain('With background: true');
  });

  test('left processes: the one call that stops them', () => {
    const left = survivorsHint({ survivors: 2 } as SessionRecord, { limits, isLean: true });
    expect(left).toEqual({
      text: '2 processes it started run on until close_session.',
      calls: ['close_session'],
    });
  });
});

test.each(['lost', 'output_limit', 'waiting'] as const)(
  'every door says the same of a command that is %s',
  (status) => {
    const text = said({ status, decision: { action: 'confirm', reason: 'it deletes' } });
    expect(text).toMatch(/./);
    expect(said({ status, decision: { action: 'confirm', reason: 'it deletes' } }, { isLean: true })).toBe(text);
  },
);
