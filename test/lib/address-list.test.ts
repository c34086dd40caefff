import { describe, expect, test } from 'bun:test';
import { isIP } from 'node:net';
import fc from 'fast-check';
import { AddressList, isPublicAddress, networkFault } from '../../src/lib/addresses.ts';

describe('a list of addresses', () => {
  const { list, faults } = AddressList.parse(' 127.0.0.1, ::1,10.0.0.0/8 , fd00::/8');

  test('is read from text with commas', () => expect(faults).toEqual([]));

  test.each(['127.0.0.1', '::1', '10.255.0.1', '::ffff:10.1.2.3', 'fd12::5'])('has %s', (address) => {
    expect(list.has(address)).toBe(true);
  });

  test.each(['127.0.0.2', '11.0.0.1', '::2', 'fe80::1', '', 'unknown', '10.0.0.0/8'])('has not %j', (address) => {
    expect(list.has(address)).toBe(false);
  });

  test('has not what only looks like one of them', () => {
    // Deprecated (RFC 4291, section 2.5.5.1), short, octal and decimal ways to write 127.0.0.1, or something else.
    const others = ['::127.0.0.1', '127.1', '0177.0.0.1', '2130706433', '0x7f.1', '::ffff:127.0.0.2', '[::1]'];
    expect(others.filter((address) => list.has(address))).toEqual([]);
  });

  test('has every way to write an address that the system may show', () => {
    const ways = ['::ffff:7f00:1', '::FFFF:127.0.0.1', '0:0:0:0:0:ffff:127.0.0.1', '0::1', '::1%br-lan.7'];
    expect(ways.filter((address) => !list.has(address))).toEqual([]);
  });

  test('takes every address that the system takes, and throws at none', () => {
    const addresses = fc.oneof(fc.ipV6(), fc.ipV4()).filter((address) => isIP(address) !== 0);
    fc.assert(
      fc.property(addresses, (address) => {
        const own = AddressList.parse(address);
        expect({ faults: own.faults, has: own.list.has(address) }).toEqual({ faults: [], has: true });
        expect(networkFault(address)).toBeUndefined();
      }),
    );
  });

  test('is empty without text', () => {
    expect(AddressList.parse('').list.has('127.0.0.1')).toBe(false);
  });

  test.each(['localhost', '10.0.0.0/33', '::1/129', '10.0.0.0/8/8', '10.0.0.0/', '1.2.3', '10.0.0.0/-1'])(
    'refuses %j and names it',
    (entry) => {
      expect(AddressList.parse(`127.0.0.1,${entry}`).faults).toEqual([
        `"${entry}" is not an IP address or a network such as 10.0.0.0/8`,
      ]);
    },
  );
});

describe('a network that somebody types', () => {
  const fine = [
    '0:0::0:0:0.0.0.0/0',
    '10.0.0.0/8',
    '10.0.0.5',
    '10.0.0.5/32',
    '0.0.0.0/0',
    'fd00::/8',
    '::1/128',
    '2001:db8::, ::1',
    '::/0',
  ];
  test.each(fine)('%s is taken', (text) => expect(networkFault(text)).toBeUndefined());

  const ambiguous: readonly [text: string, network: string, address: string][] = [
    ['10.0.0.5/8', '10.0.0.0/8', '10.0.0.5'],
    ['203.0.113.130/25', '203.0.113.128/25', '203.0.113.130'],
    ['203.0.113.129/31', '203.0.113.128/31', '203.0.113.129'],
    ['1.2.3.4/0', '0.0.0.0/0', '1.2.3.4'],
    ['2001:db8::7/32', '2001:db8::/32', '2001:db8::7'],
    ['2001:db8:1:2:3:4:5:6/45', '2001:db8::/45', '2001:db8:1:2:3:4:5:6'],
    ['FD00:0:0:1::/63', 'fd00::/63', 'FD00:0:0:1::'],
    ['::ffff:10.0.0.5/104', '::ffff:a00:0/104', '::ffff:10.0.0.5'],
    ['fe80::1%eth0/64', 'fe80::/64', 'fe80::1%eth0'],
    ['127.0.0.1, 10.0.0.5/8', '10.0.0.0/8', '10.0.0.5'],
  ];
  test.each(ambiguous)('%s is %s or %s', (text, network, address) => {
    const advice = `write ${network}, or ${address} for that one address`;
    expect(networkFault(text)).toEndWith(advice);
    // What the advice says is taken, and means the same.
    expect(networkFault(network)).toBeUndefined();
    expect(AddressList.parse(network).list.has(address)).toBe(true);
  });

  test.each(['localhost', '10.0.0.0/33', '10.0.0.5/'])('%s is invalid', (text) => {
    expect(networkFault(text)).toContain('is not an IP address or a network');
  });

  test('is of the settings and of tokens from before as it always was', () => {
    const { list, faults } = AddressList.parse('10.0.0.5/8');
    expect(faults).toEqual([]);
    expect(list.has('10.200.0.1')).toBe(true);
  });
});

describe('an address of the open internet', () => {
  test.each(['8.8.8.8', '1.1.1.1', '2001:4860:4860::8888', '::ffff:8.8.8.8'])('is %s', (address) =>
    expect(isPublicAddress(address)).toBe(true),
  );
  test.each([
    ...['0.0.0.0', '10.0.0.1', '100.64.0.1', '127.0.0.1', '169.254.169.254', '172.16.0.1', '192.0.0.1', '192.0.2.1'],
    ...['192.168.0.1', '198.18.0.1', '203.0.113.9', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...['::', '::1', '::127.0.0.1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '100::1', '2001::1', '2001:db8::1'],
    ...['2002:7f00:1::', 'fc00::1', 'fd00::1', 'fe80::1', 'fec0::1', 'ff02::1', 'localhost', ''],
  ])('is not %s', (address) => expect(isPublicAddress(address)).toBe(false));
});
