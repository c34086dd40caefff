import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { EventParser, type ServerSentEvent } from '../../src/client/server-sent-events.ts';
import '../helpers/bytes.ts';

const parse = (...pieces: Uint8Array[]): ServerSentEvent[] => {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(piece));
};

const TEXT = `: alive

event: output
id: 2,0
data: {"stream":"stdout","text":"€😀"}

data: first\r
data:second\r
\r
event: nothing

event: end
data: {}

event: cut
data: off`;

const EVENTS = [
  { event: 'output', id: '2,0', data: '{"stream":"stdout","text":"€😀"}' },
  { event: 'message', id: '', data: 'first\nsecond' },
  { event: 'end', id: '', data: '{}' },
];

describe('the events of a stream', () => {
  test('are found, without comments, events without data, and the one that is not whole', () => {
    expect(parse(Buffer.from(TEXT))).toEqual(EVENTS);
  });

  test('are the same however the stream is cut', () => {
    const bytes = Buffer.from(TEXT);
    const cuts = fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 10 });
    fc.assert(
      fc.property(cuts, (places) => {
        const ends = [...places.sort((a, b) => a - b), bytes.length];
        expect(parse(...ends.map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end)))).toEqual(EVENTS);
      }),
    );
  });
});
