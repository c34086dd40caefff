import { describe, expect, test } from 'bun:test';
import { leanAnswer } from '../../src/calls/answer.ts';
import { type Answer, STATE } from '../../src/calls/context.ts';

const DONE = {
  stdout: 'hi\n',
  stderr: '',
  exit_code: 0,
  session: 'id',
  status: 'done',
  duration_ms: 12,
  stdout_bytes: 3,
  stderr_bytes: 0,
  truncated: false,
  usage: { cpu_ms: 1 },
};

/** The full answer with these fields, as the lean doors send it. */
function lean(fields: Answer, state: Answer[typeof STATE] = { isNeeded: false, hitLimit: false }): Answer {
  return leanAnswer({ ...DONE, ...fields, [STATE]: state });
}

describe('a command that has ended', () => {
  test('is its output and its exit code', () => {
    expect(lean({})).toEqual({ stdout: 'hi\n', exit_code: 0 });
  });

  test.each([
    [{ stderr: 'no\n', stderr_bytes: 3 }, { stderr: 'no\n' }],
    [{ duration_ms: 1000 }, { duration_ms: 1000 }],
    [{ message: 'something else' }, { message: 'something else' }],
    [
      { status: 'killed', exit_code: 143 },
      { status: 'killed', exit_code: 143 },
    ],
  ])('has more where there is more to say: %j', (fields, more) => {
    expect(lean(fields)).toEqual({ stdout: 'hi\n', exit_code: 0, ...more });
  });

  test('names its session where it is needed: left-over processes, a key', () => {
    expect(lean({}, { isNeeded: true, hitLimit: false })).toEqual({ stdout: 'hi\n', exit_code: 0, session: 'id' });
  });

  test('says what it took where it reached a limit', () => {
    expect(lean({}, { isNeeded: false, hitLimit: true })).toHaveProperty('usage', { cpu_ms: 1 });
  });

  test('says how long the steps of its dialog took, as long as that is news', () => {
    const spoken = { dialog_ms: [12, 340] };
    const state = { isNeeded: false, hitLimit: false };
    expect(lean(spoken, { ...state, hasSpoken: true })).toEqual({ stdout: 'hi\n', exit_code: 0, ...spoken });
    expect(lean(spoken, { ...state, hasSpoken: false })).toEqual({ stdout: 'hi\n', exit_code: 0 });
  });

  test('that is lost has no exit code', () => {
    expect(lean({ status: 'lost', exit_code: null })).toEqual({ stdout: 'hi\n', status: 'lost' });
  });

  test('that is cut names its session, its sizes and what is missing', () => {
    const omitted = { stdout: { offset: 1, bytes: 99 } };
    expect(lean({ truncated: true, stdout_bytes: 102, omitted })).toEqual({
      stdout: 'hi\n',
      exit_code: 0,
      session: 'id',
      stdout_bytes: 102,
      omitted,
    });
  });
});

test('a command that runs names its session and its sizes, where they are not 0', () => {
  const running = { status: 'running', exit_code: null, duration_ms: 40_000 };
  expect(lean(running, { isNeeded: true, hitLimit: false })).toEqual({
    stdout: 'hi\n',
    status: 'running',
    session: 'id',
    stdout_bytes: 3,
    duration_ms: 40_000,
  });
});

describe('a page of one stream', () => {
  const { stdout: _stdout, ...page } = { ...DONE, stderr: 'e', stderr_bytes: 1, next_offset: 1, eof: true };

  test('has nothing of the other but its size', () => {
    expect(leanAnswer({ ...page, [STATE]: { isNeeded: false, hitLimit: false } })).toEqual({
      stderr: 'e',
      exit_code: 0,
      stdout_bytes: 3,
    });
  });

  test('says where it continues while there is more', () => {
    expect(lean({ truncated: true, next_offset: 3, eof: false, stdout_bytes: 9 })).toEqual({
      stdout: 'hi\n',
      exit_code: 0,
      session: 'id',
      stdout_bytes: 9,
      next_offset: 3,
      eof: false,
    });
  });

  test('that comes of typing says so only where it did not fit', () => {
    const typed = { status: 'running', exit_code: null, written: 2, eof: false };
    const state = { isNeeded: true, hitLimit: false };
    expect(lean({ ...typed, next_offset: 3 }, state)).not.toHaveProperty('next_offset');
    expect(lean({ ...typed, next_offset: 2 }, state)).toMatchObject({ next_offset: 2, eof: false });
  });

  test('that begins at an offset and comes to the end leaves nothing to say', () => {
    expect(lean({ truncated: true, next_offset: 3, eof: true })).toEqual({ stdout: 'hi\n', exit_code: 0 });
  });
});

test('what is not about one session stays as it is', () => {
  const list = { sessions: [], total: 0, next_before: null };
  expect(leanAnswer(list)).toEqual(list);
});
