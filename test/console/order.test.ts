import { describe, expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { type ApprovalRequest, digestOf } from '../../src/access/approval-request.ts';
import { requestText } from '../../src/access/request-text.ts';
import {
  base64url,
  canonical,
  challengeOf,
  fromBase64url,
  hex,
  newOrder,
  type Order,
  sha256,
} from '../../src/console/order.ts';
import { orderFileSchema, orderSchema } from '../../src/console/order-schema.ts';

const SESSION = '01234567-89ab-4cde-8f01-23456789abcd';
const approve: Order = { ...newOrder(), kind: 'approve', session: SESSION, digest: 'a'.repeat(64) };

describe('canonical', () => {
  test('sorts the keys at every depth, and writes no spaces', () => {
    expect(canonical({ b: [1, { d: null, c: 'é"' }], a: true })).toBe('{"a":true,"b":[1,{"c":"é\\"","d":null}]}');
  });

  test('does not depend on the order in which an object was made', () => {
    const turned = Object.fromEntries(Object.entries(approve).reverse());
    expect(canonical(turned)).toBe(canonical(approve));
  });

  test('leaves out what is undefined, as JSON does', () => {
    expect(canonical({ a: undefined, b: 1 })).toBe('{"b":1}');
  });

  test('is JSON that reads as what it was made of, and is made again from that', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = canonical(value);
        expect(canonical(JSON.parse(text))).toBe(text);
        expect(JSON.stringify(JSON.parse(text)).length).toBe(text.length);
      }),
    );
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1n, () => 1])('throws for %p', (value) => {
    expect(() => canonical({ value })).toThrow('has no form in JSON');
  });
});

describe('the challenge of an order', () => {
  test('is the SHA-256 of its canonical form', async () => {
    const expected = new Bun.CryptoHasher('sha256').update(canonical(approve)).digest('base64url');
    expect(await challengeOf(approve)).toBe(expected);
  });

  test.each([
    { kind: 'thaw', since: 1 },
    { session: SESSION.replace('0', '1') },
    { digest: 'b'.repeat(64) },
    { at: 1 },
    { nonce: 'x' },
    { id: SESSION },
    { more: 1 },
  ])('changes with %p', async (change) => {
    expect(await challengeOf({ ...approve, ...change } as Order)).not.toBe(await challengeOf(approve));
  });
});

test('base64url is that of Node, both ways', () => {
  for (let length = 0; length < 20; length++) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    expect(base64url(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
    expect([...fromBase64url(base64url(bytes))]).toEqual([...bytes]);
  }
});

describe('the digest of a request', () => {
  const request: ApprovalRequest = {
    session: SESSION,
    token: 'a#1',
    address: '::1',
    profile: 'careful',
    user: 'u',
    cmd: 'rm "é" \u{1f600}',
    cwd: '/',
    env: { 10: 'x', B: '', a: '1', 9: 'y' },
    stdin: '',
    dialog: [{ expect: 'a', send: 'b' }],
    file: { path: '/x', mode: '0600', owner: '', before_sha256: '', after_sha256: '', diff: '+ a' },
    input: 'closed',
    limit_seconds: 1.5,
    reason: 'r',
    part: '',
    asked_at: 1,
    salt: 's',
    expires_at: 2,
  };

  test('is computed from its JSON as the page does', async () => {
    const read = JSON.parse(JSON.stringify(request));
    expect(hex(await sha256(requestText(read)))).toBe(digestOf(request));
  });

  test('has every field in it', () => {
    const { session, ...others } = request;
    for (const name of Object.keys(others))
      expect(requestText({ ...request, [name]: 'another' })).not.toBe(requestText(request));
    expect(requestText({ ...request, env: { ...request.env, a: '2' } })).not.toBe(requestText(request));
    expect(session).toBe(SESSION);
  });
});

describe('the schema', () => {
  const base = newOrder();
  const orders: Order[] = [
    approve,
    { ...base, kind: 'deny', session: SESSION, digest: 'a'.repeat(64), why: 'no' },
    { ...base, kind: 'stop', session: SESSION },
    { ...base, kind: 'stop-all' },
    { ...base, kind: 'freeze', reason: '' },
    { ...base, kind: 'thaw', since: 1 },
    { ...base, kind: 'revoke', token: 'reports', made: '01234567' },
  ];

  test.each(orders)('takes $kind, and nothing more in it', (order) => {
    expect(Value.Check(orderSchema, order)).toBe(true);
    expect(Value.Check(orderSchema, { ...order, more: 1 })).toBe(false);
    expect(Value.Check(orderFileSchema, { order, by: 'Anna' })).toBe(true);
    expect(Value.Check(orderFileSchema, { order, by: 'Anna', more: 1 })).toBe(false);
  });

  test.each([
    { id: 'x' },
    { id: '../../../etc/passwd' },
    { nonce: 'short' },
    { at: -1 },
    { at: 1.5 },
    { kind: 'undo' },
    { session: '..' },
    { digest: 'A'.repeat(64) },
  ])('does not take %p', (change) => {
    expect(Value.Check(orderSchema, { ...approve, ...change })).toBe(false);
  });
});
