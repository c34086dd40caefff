import { describe, expect, test } from 'bun:test';
import { AddressList } from '../../src/core/address-list.ts';

describe('a list of addresses', () => {
  const { list, faults } = AddressList.parse(' 127.0.0.1, ::1,10.0.0.0/8 , fd00::/8');

  test('is read from text with commas', () => expect(faults).toEqual([]));

  test.each(['127.0.0.1', '::1', '10.255.0.1', '::ffff:10.1.2.3', 'fd12::5'])('has %s', (address) => {
    expect(list.has(address)).toBe(true);
  });

  test.each(['127.0.0.2', '11.0.0.1', '::2', 'fe80::1', '', 'unknown', '10.0.0.0/8'])('has not %j', (address) => {
    expect(list.has(address)).toBe(false);
  });

  test('is empty without text', () => {
    expect(AddressList.parse('').list.has('127.0.0.1')).toBe(false);
  });

  test.each(['localhost', '10.0.0.0/33', '::1/129', '10.0.0.0/8/8', '10.0.0.0/', '1.2.3', '10.0.0.0/-1'])(
    'refuses %j and names it',
    (entry) => {
      expect(AddressList.parse(`127.0.0.1,${entry}`).faults).toEqual([
        `"${entry}" is no IP address and no network such as 10.0.0.0/8`,
      ]);
    },
  );
});
