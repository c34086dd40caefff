import { expect, test } from 'bun:test';
import { webhookKey } from '../../src/lib/token.ts';

const KEY = Buffer.from('a key of 32 bytes, as it should..');

const secrets: readonly [secret: string, key: Uint8Array | undefined][] = [
  [`whsec_${KEY.toString('base64')}`, KEY],
  [`whsec_${KEY.toString('base64').replaceAll('=', '')}`, KEY],
  ['any other text, ümlauts', Buffer.from('any other text, ümlauts')],
  [`whsec_${KEY.subarray(0, 23).toString('base64')}`, undefined],
  [`whsec_${Buffer.alloc(65).toString('base64')}`, undefined],
  ['whsec_no base64 in here, by no means at all', undefined],
  ['whsec_', undefined],
];

test.each(secrets)('the key of %s', (secret, key) => {
  expect(webhookKey(secret)).toEqual(key as never);
});
