import { expect, test } from 'bun:test';
import { reopenHint } from '../../src/calls/hints.ts';
import { HOSTILE_PIECES, slowPieces } from '../helpers/growth.ts';

test('the look for redirections takes time with the length of a command, whatever it is made of', () => {
  expect(slowPieces([...HOSTILE_PIECES, '>|', '>/dev/', '> /dev/fd/'], reopenHint)).toEqual([]);
});
