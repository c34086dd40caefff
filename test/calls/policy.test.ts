import { describe, expect, test } from 'bun:test';
import { Freeze } from '../../src/access/freeze.ts';
import { BUILT_IN, type Profile } from '../../src/access/profile.ts';
import { Trail } from '../../src/audit/trail.ts';
import { messageOf } from '../../src/calls/answer.ts';
import { type CallContext, contextOf, revalidate, underPolicy, withForbidden } from '../../src/calls/context.ts';
import { Deadline, OneShotEvent } from '../../src/lib/clock.ts';
import { AccessLapsed } from '../../src/lib/errors.ts';
import { Turns } from '../../src/lib/shares.ts';

const LIMITS = {
  shell: '/bin/sh',
  replySeconds: 45,
  maxExecSeconds: 120,
  maxBackgroundSeconds: 3600,
  onTimeout: 'kill',
  maxOutputBytes: 60_000,
  maxReplyChars: 90_000,
  maxSessionBytes: 1_000_000,
  maxRunningPerToken: 16,
} as const;

/** A token whose profile the test changes, or takes away, and the record of what it does. */
class Server {
  profile: Profile | undefined = BUILT_IN.full;
  readonly lines: string[] = [];

  readonly deps = {
    access: { profileFor: () => this.#profile() } as never,
    limits: LIMITS,
    secrets: { values: [] },
    turns: new Turns(),
    freeze: new Freeze(undefined, { warn: () => {} } as never),
    trail: new Trail(
      {
        write: ({ op }) => void this.lines.push(String(op)),
        writeLater: (fields) => void this.lines.push(`refused: ${fields()['refused']}`),
        synced: async () => {},
      },
      { values: [] },
    ),
  };

  readonly call = { principal: 'anna', address: '::1', deadline: Deadline.after(10), shutdown: new OneShotEvent() };

  #profile(): Profile {
    if (this.profile === undefined) throw new AccessLapsed('token', 'This token has ended', 'Ask.');
    return this.profile;
  }

  pass(recorded: 'before' | 'after', run: (context: CallContext) => Promise<string>): Promise<string> {
    const subject = { name: 'op', needs: 'shell', readOnly: recorded === 'after', recorded };
    return underPolicy(this.deps, subject, {}, this.call, async (context) => {
      this.lines.push('run');
      return run(context);
    });
  }
}

describe('the context of a call', () => {
  test('is the same one as long as the profile is', () => {
    const server = new Server();
    const context = contextOf(server.deps, server.call);
    expect(revalidate(context)).toBe(context);
  });

  test('has the masks and limits of a profile that has changed meanwhile, and what else the call was given', () => {
    const server = new Server();
    const context = { ...contextOf(server.deps, server.call), maxReplyChars: 500 };
    expect(context.masker).toBeUndefined();
    server.profile = { ...BUILT_IN.readonly, limits: { exec_seconds: 5 } };
    const now = revalidate(context);
    expect(now.masker).toBeDefined();
    expect(now).toMatchObject({ maxReplyChars: 500, limits: { maxExecSeconds: 5, maxBackgroundSeconds: 3600 } });
  });

  test('is refused when the token is gone, and the refusal says what that means', () => {
    const server = new Server();
    const context = contextOf(server.deps, server.call);
    server.profile = undefined;
    expect(() => revalidate(context, ', so nothing was run')).toThrow('This token has ended, so nothing was run. Ask.');
  });
});

describe('the policy', () => {
  test('puts on record what changes something before it is done, and what reads before its answer leaves', async () => {
    const server = new Server();
    expect(await server.pass('before', async () => 'answer')).toBe('answer');
    expect(await server.pass('after', async () => 'answer')).toBe('answer');
    expect(server.lines).toEqual(['op', 'run', 'run', 'op']);
  });

  test('lets nothing run that the profile does not allow', async () => {
    const server = new Server();
    server.profile = { ...BUILT_IN.full, operations: ['read_session'] };
    await expect(server.pass('before', async () => 'answer')).rejects.toThrow('does not allow shell');
    expect(server.lines).toEqual([expect.stringContaining('refused: Forbidden')]);
  });

  test('says of a token that has ended meanwhile what has become of the call', async () => {
    const server = new Server();
    const ends = async (context: CallContext): Promise<string> => {
      server.profile = undefined;
      revalidate(context);
      return 'answer';
    };
    await expect(server.pass('before', ends)).rejects.toThrow('had begun was not undone');
    await expect(server.pass('before', ends)).rejects.toThrow('This token has ended, so nothing was done.');
    expect(server.lines).toEqual(['op', 'run', expect.stringMatching(/^refused/), expect.stringMatching(/^refused/)]);
  });
});

describe('an answer', () => {
  const profile: Profile = { ...BUILT_IN.full, operations: ['shell', 'read_session'] };
  const advice = { text: 'Call read_session, or close_session.', calls: ['read_session', 'close_session'] } as const;

  test('says which of the operations that it advises the profile does not allow', () => {
    const message = `${advice.text} The profile of this token does not allow close_session.`;
    expect(withForbidden(messageOf(undefined, advice), profile)).toEqual({ message });
    expect(withForbidden(messageOf(advice), BUILT_IN.full)).toEqual({ message: advice.text });
  });

  test('says nothing of an operation whose name is only in its text', () => {
    const message = 'Unknown argument "kill_session". It was ignored.';
    expect(withForbidden(messageOf(message), profile)).toEqual({ message });
    expect(withForbidden(messageOf(undefined), profile)).toEqual({});
  });
});
