import { expect, test } from 'bun:test';
import type { Call } from '../../src/calls/context.ts';
import type { FollowEvent, Followers } from '../../src/calls/follow.ts';
import { MemberStreams } from '../../src/fleet/member-streams.ts';
import { STREAM_BYTES } from '../../src/fleet/pieces.ts';
import { FOLLOW_PIECE_BYTES } from '../../src/lib/limits.ts';

const offsets = { stdout: 0, stderr: 0 };

async function* endless(): AsyncGenerator<FollowEvent, void> {
  for (;;) yield { kind: 'output', stream: 'stdout', bytes: new Uint8Array(FOLLOW_PIECE_BYTES), offsets };
}

test('of many streams at once each sends less, so that calls do not wait behind them', async () => {
  const streams = new MemberStreams({ follow: async () => endless() } as unknown as Followers);
  const call = { principal: 'hub/anna' } as Call;
  const doNothing = { begun: () => {}, over: () => {} };
  const next = async (stream: string): Promise<number> => {
    const args = { stream, session: stream, offsets, isText: true, step: 'next' };
    return (await streams.answer(args, call, doNothing)).bytes.length;
  };
  const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
  const [first = ''] = ids;
  expect(await next(first)).toBe(STREAM_BYTES);
  for (const id of ids) await next(id);
  const sizes = await Promise.all(ids.map(next));
  expect(sizes).toEqual(ids.map(() => FOLLOW_PIECE_BYTES));
});
