import { expect, test } from 'bun:test';
import { networkOf } from '../../src/lib/addresses.ts';

const cases: readonly [address: string, network: string][] = [
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['::ffff:cb00:7109', '203.0.113.9'],
  ['2001:db8::7', '2001:db8::/64'],
  ['2001:DB8:0:0:1:2:3:4', '2001:db8::/64'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['64:ff9b::203.0.113.9', '64:ff9b::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  ['::1', '::/64'],
  ['fe80::1%br-lan.7', 'fe80::/64'],
  ['unknown', 'unknown'],
  ['127.1', '127.1'],
];

test.each(cases)('%s belongs to %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
