import { describe, expect, test } from 'bun:test';
import { AddressList, clientAddress } from '../../src/lib/addresses.ts';

const { list } = AddressList.parse('127.0.0.1,10.0.0.0/8');

const cases: readonly [peer: string, forwarded: string | undefined, address: string][] = [
  ['203.0.113.9', undefined, '203.0.113.9'],
  ['203.0.113.9', '198.51.100.1', '203.0.113.9'],
  ['127.0.0.1', undefined, '127.0.0.1'],
  ['127.0.0.1', '198.51.100.1', '198.51.100.1'],
  ['127.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
  ['127.0.0.1', '6.6.6.6, 198.51.100.1, 10.1.1.1', '198.51.100.1'],
  ['127.0.0.1', '10.2.2.2, 10.1.1.1', '10.2.2.2'],
  ['127.0.0.1', '2001:db8::7', '2001:db8::7'],
  ['127.0.0.1', 'evil"\\, 10.1.1.1', '10.1.1.1'],
  ['127.0.0.1', 'unknown', '127.0.0.1'],
  ['127.0.0.1', 'x', '127.0.0.1'],
  ['127.0.0.1', 'dead', '127.0.0.1'],
  ['127.0.0.1', '9.9.9', '127.0.0.1'],
  ['127.0.0.1', '9.9.9.9:1', '9.9.9.9'],
  ['127.0.0.1', '9.9.9.9:x', '127.0.0.1'],
  ['127.0.0.1', '9.9.9.9:', '127.0.0.1'],
  ['127.0.0.1', '[2001:db8::7]', '2001:db8::7'],
  ['127.0.0.1', '[2001:db8::7]:443', '2001:db8::7'],
  ['127.0.0.1', '[9.9.9.9]', '127.0.0.1'],
  ['127.0.0.1', 'fe80::7%eth0', 'fe80::7'],
  ['127.0.0.1', '6.6.6.6, [2001:db8::7]:443, 10.1.1.1:80', '2001:db8::7'],
  ['127.0.0.1', '', '127.0.0.1'],
  // Forged names of the proxy itself: the first two are other addresses, the others none.
  ['127.0.0.1', '6.6.6.6, ::127.0.0.1', '::127.0.0.1'],
  ['127.0.0.1', '6.6.6.6, ::2', '::2'],
  ['127.0.0.1', '6.6.6.6, 127.1', '127.0.0.1'],
  ['127.0.0.1', '6.6.6.6, 0177.0.0.1', '127.0.0.1'],
  ['127.0.0.1', '6.6.6.6, 2130706433', '127.0.0.1'],
  // The proxy itself, as a socket for both families shows it.
  ['::ffff:127.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'],
  ['127.0.0.1', '198.51.100.1, ::ffff:10.1.1.1', '198.51.100.1'],
  ['::127.0.0.1', '198.51.100.1', '::127.0.0.1'],
];

describe('the address of a client', () => {
  test.each(cases)('that comes from %s with X-Forwarded-For %j is %s', (peer, forwarded, address) => {
    const headers = new Headers(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded });
    expect(clientAddress(peer, headers, list)).toBe(address);
  });

  test('is the last one of a very long header', () => {
    const headers = new Headers({ 'x-forwarded-for': `${'6.6.6.6, '.repeat(5000)}198.51.100.1` });
    expect(clientAddress('127.0.0.1', headers, list)).toBe('198.51.100.1');
  });
});
