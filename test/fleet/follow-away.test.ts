import { expect, test } from 'bun:test';
import { BUILT_IN } from '../../src/access/profile.ts';
import type { CallContext } from '../../src/calls/context.ts';
import type { FollowEvent } from '../../src/calls/follow.ts';
import type { FleetDoor, FleetServer } from '../../src/fleet/door.ts';
import { sessionAway } from '../../src/fleet/follow-away.ts';
import { SigningKey, tagOf } from '../../src/fleet/keys.ts';
import { STREAM_BYTES } from '../../src/fleet/pieces.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { Turns } from '../../src/lib/shares.ts';

const { publicKey } = SigningKey.create();
const web1 = { name: 'web1', key: publicKey, tag: tagOf(publicKey), state: 'connected' } as FleetServer;
const offsets = { stdout: 0, stderr: 0 };

/** What a follower gets of a server that answers each `next` with this. */
async function* follow(events: readonly object[], bytes = new Uint8Array(0)): AsyncGenerator<FollowEvent, void> {
  const piece = async (_server: FleetServer, _op: string, { step }: { step: string }) =>
    step === 'next' ? { body: { events }, bytes } : { body: {}, bytes: new Uint8Array(0) };
  const door = { servers: () => [web1], piece } as unknown as FleetDoor;
  const context = {
    ...{ principal: 'anna', profile: BUILT_IN.full, shutdown: new OneShotEvent(), maxReplyChars: 100_000 },
    deps: { access: { profileFor: () => BUILT_IN.full } },
  } as unknown as CallContext;
  const away = sessionAway(door, new Turns(), `${crypto.randomUUID()}@${web1.tag}`);
  const request = { offsets, isText: true, gone: new OneShotEvent() };
  if (away !== undefined) yield* await away.follow(context, request);
}

const output = (bytes: number) => ({ kind: 'output', stream: 'stdout', bytes, offsets });

test.each([
  ['nothing, so that it is asked again at once', [], 0],
  ['more in one event than any server sends', [output(STREAM_BYTES + 1)], STREAM_BYTES + 1],
  ['more in one answer', [output(1)], 2 * STREAM_BYTES + 1],
])('a server that was taken over ends its stream with %s', async (_, events, bytes) => {
  const first = await follow(events, new Uint8Array(bytes)).next();
  expect(first.value).toMatchObject({ kind: 'refused', error: { message: expect.stringContaining('is no stream') } });
});

test('the output of an answer is kept without the rest of it, while a client is slow', async () => {
  const message = new Uint8Array(2_000_000);
  const { value } = await follow([{ ...output(3), more: message }], message.subarray(0, 3)).next();
  expect(value).toEqual({ kind: 'output', stream: 'stdout', bytes: new Uint8Array(3), offsets });
  expect(value?.kind === 'output' && value.bytes.buffer.byteLength).toBe(3);
});
