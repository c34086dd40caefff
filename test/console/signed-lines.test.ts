import { describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { planDigest } from '../../src/access/approval-request.ts';
import type { AuditLine } from '../../src/audit/chain.ts';
import { verifyRecord } from '../../src/audit/verify.ts';
import { newOrder, type SignedOrder } from '../../src/console/order.ts';
import { signatureOf } from '../../src/console/passkeys.ts';
import { checkSignatures, describeSigners } from '../../src/console/signed-lines.ts';
import { Authenticator } from '../helpers/authenticator.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const phone = new Authenticator();
const thief = new Authenticator();
const SESSION = '01234567-89ab-4cde-8f01-23456789abcd';
const DIGEST = 'a'.repeat(64);
const SINCE = 1_700_000_000_000;
const approve = { ...newOrder(), kind: 'approve', session: SESSION, digest: DIGEST } as const;
const thaw = { ...newOrder(), kind: 'thaw', since: SINCE } as const;
const pinned = { origin: phone.origin, rp_id: phone.rpId, sessions: [] };

async function signed(order: SignedOrder) {
  return signatureOf(order, await phone.sign(order), { ...pinned, passkeys: [await phone.passkey()] });
}

const line = { seq: 1, time: '', prev: '' };
const by = `Pixel 9 (passkey ${(await phone.passkey()).fingerprint})`;
const approved = { ...line, by, event: 'decision', decision: 'approved', session: SESSION, digest: DIGEST };
const thawed = { ...line, by, event: 'agent', what: 'thawed', since: new Date(SINCE).toISOString() };

async function findings(record: AuditLine): Promise<readonly string[]> {
  return (await checkSignatures([{ file: 'f', line: 1, record }])).findings.map(({ what }) => what);
}

test('a signature that fits is no finding, and counts for its passkey', async () => {
  const lines = [
    { file: 'f', line: 1, record: { ...approved, signed: await signed(approve) } },
    { file: 'f', line: 2, record: { ...thawed, signed: await signed(thaw) } },
  ];
  const { findings: found, signers } = await checkSignatures(lines);
  expect(found).toEqual([]);
  expect(describeSigners(signers)).toEqual([`orders signed by passkeys: 2 by ${by} at http://localhost:8443`]);
  expect(describeSigners({})).toEqual([]);
});

test('a signature of something else than the line says is found', async () => {
  const right = await signed(approve);
  for (const change of [
    { session: newOrder().id },
    { digest: 'b'.repeat(64) },
    { decision: 'denied' },
    { event: 'end' },
  ])
    expect(await findings({ ...approved, ...change, signed: right })).toEqual(['its signature is for something else']);
  expect(await findings({ ...thawed, since: '', signed: await signed(thaw) })).toBeArrayOfSize(1);
  expect(await findings({ ...thawed, signed: right })).toBeArrayOfSize(1);
});

test('one signature of several approvals fits the line of each; of another order, or with another list, it is found', async () => {
  const orders = [approve, { ...approve, ...newOrder(), session: newOrder().id }];
  const assertion = await phone.signAll(orders);
  const file = { ...pinned, passkeys: [await phone.passkey()] };
  const lines = await Promise.all(
    orders.map(async (order) => ({
      ...approved,
      session: order.session,
      signed: await signatureOf(order, assertion, file),
    })),
  );
  for (const right of lines) expect(await findings(right)).toEqual([]);
  const proof = await signatureOf(approve, assertion, file);
  const found = async (change: object): Promise<string> =>
    String(await findings({ ...approved, signed: { ...proof, ...change } }));
  expect(await found({ order: { ...approve, ...newOrder() } })).toContain('it is not among what was signed');
  const { among = [] } = proof.assertion;
  for (const list of [undefined, among.toReversed(), [...among, DIGEST.slice(0, 43)]])
    expect(await found({ assertion: { ...proof.assertion, among: list } })).toContain('challenge');
  for (const list of [null, [], among.slice(0, 1), Array.from({ length: 31 }, () => among[0])])
    expect(await found({ assertion: { ...proof.assertion, among: list } })).toBe('its signature is damaged');
});

test('the approval of a plan that names another server, token or command than its line is found', async () => {
  const name = { hub: 'U', run: SESSION, principal: 'reports#1a2b3c4d', cmd_sha256: DIGEST, args_sha256: DIGEST };
  const server = { name: 'web1', key: `UABCDEFGHI${'A'.repeat(46)}`, instance: SESSION };
  const plan = { ...name, servers: [server, { ...server, name: 'web2', key: `UBBCDEFGHI${'A'.repeat(46)}` }] };
  const order = { ...newOrder(), kind: 'approve-plan', run: SESSION, plan: planDigest(plan) } as const;
  const onServer = { token: 'hub/reports#1a2b3c4d', server: 'web1@bcdefghi', cmd_sha256: DIGEST, plan };
  const right = { ...approved, ...onServer, signed: await signed(order) };
  expect(await findings(right)).toEqual([]);
  const elsewhere = { ...plan, servers: [{ ...server, name: 'db' }] };
  for (const change of [
    { server: 'db@bcdefghi' },
    { token: 'reports#1a2b3c4d' },
    { cmd_sha256: 'b'.repeat(64) },
    { decision: 'denied' },
    { plan: elsewhere },
    { plan: { ...plan, run: newOrder().id } },
    { plan: undefined },
  ])
    expect(await findings({ ...right, ...change })).toEqual(['its signature is for something else']);
  const onHub = { ...line, by, event: 'agent', what: 'plan approved', run: SESSION, plan: order.plan };
  expect(await findings({ ...onHub, signed: right.signed })).toEqual([]);
  expect(await findings({ ...onHub, plan: DIGEST, signed: right.signed })).toBeArrayOfSize(1);
});

test('a change of the passkeys with another list than the signed one is found', async () => {
  const passkey = await phone.passkey();
  const { origin, rpId: rp_id } = phone;
  const chain = { hub: `U${'A'.repeat(55)}`, count: 1, previous: DIGEST, origin, rp_id };
  const order = { ...newOrder(), ...chain, kind: 'keys', passkeys: [passkey] } as const;
  const passkeys = [passkey.fingerprint];
  const changed = { ...line, by, event: 'agent', what: 'passkeys of the hub', count: 1, passkeys };
  const proof = await signed(order);
  expect(await findings({ ...changed, signed: proof })).toEqual([]);
  for (const wrong of [{ passkeys: [] }, { passkeys: ['0000 0000 0000 0000'] }, { passkeys: undefined }, { count: 2 }])
    expect(await findings({ ...changed, ...wrong, signed: proof })).toEqual(['its signature is for something else']);
});

test('an order that a hub has passed on is checked there too, for the server and the order that its line names', async () => {
  const server = `UABCDEFGHI${'A'.repeat(46)}`;
  const order = { ...approve, server, server_name: 'web1' };
  const passed = { ...line, by, event: 'agent', what: 'order', kind: 'approve', order: order.id };
  const right = { ...passed, server: 'web1@bcdefghi', passed_on: 'done', signed: await signed(order) };
  expect(await findings(right)).toEqual([]);
  // Of a server that is gone, the line has the key.
  expect(await findings({ ...right, server, passed_on: 'refused' })).toEqual([]);
  for (const change of [{ server: 'web2@cdefghij' }, { order: newOrder().id }, { kind: 'allow' }])
    expect(await findings({ ...right, ...change })).toEqual(['its signature is for something else']);
  const here = { ...approved, signed: right.signed };
  expect(await findings(here)).toEqual([]);
  const first = { ...line, event: 'agent', seq: 1 };
  const lines = [right, here].map((record, at) => ({ file: 'f', line: at + 1, record }));
  // Of a line about this server, it is for another one.
  expect((await checkSignatures(lines.slice(1), first)).findings.map(({ what }) => what)).toEqual([
    'its signature is for another server',
  ]);
  expect((await checkSignatures(lines.slice(0, 1), first)).findings).toEqual([]);
});

test('a line that names another signer, or a passkey and no signature, is found', async () => {
  const right = await signed(approve);
  expect(await findings({ ...approved, by: by.replace('Pixel', 'iPhone'), signed: right })).toEqual([
    'its signature is by somebody else',
  ]);
  using place = new TemporaryDirectory();
  const path = place.join('audit.jsonl');
  const lines = [approved, { ...approved, by: 'root' }, { ...approved, by: `${by} (console)` }];
  writeFileSync(path, lines.map((one) => `${JSON.stringify(one)}\n`).join(''));
  const { signed: claimed } = verifyRecord(path);
  expect(claimed.map(({ line: number }) => number)).toEqual([1]);
  expect((await checkSignatures(claimed)).findings.map(({ what }) => what)).toEqual(['its signature is damaged']);
});

test('what was typed, and the hand back, are of the take-over that somebody signed before', async () => {
  const order = { ...newOrder(), kind: 'take-over', session: SESSION, key: 'a'.repeat(87), from: null } as const;
  const agent = { ...line, by, event: 'agent', session: SESSION, order: order.id };
  const taken = { ...agent, what: 'taken over', signed: await signed(order) };
  const [typed, back] = ['typed', 'handed back'].map((what) => ({ ...agent, what, bytes: 4 }));
  if (typed === undefined || back === undefined) throw new Error('two lines are made above');
  const found = async (records: readonly AuditLine[], seq = 1): Promise<readonly string[]> => {
    const lines = records.map((record, at) => ({ file: 'f', line: at + 1, record }));
    return (await checkSignatures(lines, { ...line, event: 'start', seq })).findings.map(({ what }) => what);
  };
  expect(await found([taken, typed, typed, back])).toEqual([]);
  const unsigned = ['nobody has signed the take-over that it names'];
  expect(await found([typed, taken, back])).toEqual(unsigned);
  // It may have begun in a file that is not kept any more.
  expect(await found([typed, back], 7)).toEqual([]);
  expect(await found([taken, { ...typed, order: newOrder().id }])).toEqual(unsigned);
  expect(await found([taken, back, typed], 7)).toEqual(['the take-over that it names had ended']);
  for (const change of [{ session: newOrder().id }, { by: by.replace('Pixel', 'iPhone') }])
    expect(await found([taken, { ...typed, ...change }])).toEqual(['the take-over that it names is another one']);
});

test('a signature that does not fit is found', async () => {
  const right = await signed(approve);
  const { id, public_key } = await thief.passkey();
  for (const wrong of [
    { ...right, assertion: thief.assert('x') },
    { ...right, order: { ...approve, nonce: newOrder().nonce } },
    { ...right, passkey: { ...right.passkey, id, public_key } },
    { ...right, passkey: { ...right.passkey, fingerprint: '0000 0000 0000 0000' } },
    { ...right, passkey: { ...right.passkey, public_key: 'a' } },
    { ...right, passkey: { ...right.passkey, public_key: `${'gYGB'.repeat(10_000)}` } },
    { ...right, origin: 'https://evil.example.org' },
    { ...right, order: { ...approve, more: 1 } },
    'none',
    null,
  ])
    expect(await findings({ ...approved, signed: wrong })).toBeArrayOfSize(1);
});

describe('what ran by an allowance', () => {
  const at = 1_700_000_000_000;
  const when = (ms: number): string => new Date(at + ms).toISOString();
  const scope = { token: 'helper#0123abcd', profile: 'careful' };
  const told = { kind: 'allow', token: 'helper', made: '0123abcd', profile: 'careful', rule: 1, cwd: '/srv' } as const;
  const allow = { ...approve, ...told, id: newOrder().id, at, rule_sha256: 'b'.repeat(64), until: at + 900_000 };
  const start = { ...line, ...scope, event: 'start', rule: 1, cwd: '/srv', allowance: [allow.id], time: when(1000) };
  const agent = { ...line, event: 'agent', time: when(500) };

  /** What is found of lines that follow the signed decision. */
  async function after(...records: AuditLine[]): Promise<readonly string[]> {
    const decision = { ...approved, ...scope, time: when(0), signed: await signed(allow) };
    const lines = [decision, ...records].map((record, index) => ({ file: 'f', line: index + 1, record }));
    return (await checkSignatures(lines)).findings.map(({ what }) => what);
  }

  test('is no finding where it is in the scope and the time that somebody signed', async () => {
    // The clock of the device that signed may be ahead by so much.
    expect(await after(start, { ...start, time: when(-29_000) }, { ...start, time: when(899_000) })).toEqual([]);
    const others = { ...agent, what: 'allowance', allowance: newOrder().id, state: 'ended' };
    expect(await after(others, start)).toEqual([]);
  });

  test.each([
    [{ rule: 7 }, 'the allowance that it ran by is of another rule'],
    [{ rule: undefined }, 'the allowance that it ran by is of another rule'],
    [{ cwd: '/tmp' }, 'the allowance that it ran by is of another directory'],
    [{ profile: 'full' }, 'the allowance that it ran by is of another token'],
    [{ time: when(-86_400_000) }, 'it ran before the allowance that it names was signed'],
    [{ time: when(901_000) }, 'the allowance that it ran by was over'],
    [{ time: 'never' }, 'the allowance that it ran by was over'],
    [{ allowance: [] }, 'nobody has signed the allowance that it ran by'],
  ])('is found with %p', async (change, what) => {
    expect(await after({ ...start, ...change })).toEqual([what]);
  });

  test('is found after its end, and after a restart of the agent', async () => {
    const what = 'the allowance that it ran by had ended';
    expect(await after({ ...agent, what: 'allowance', allowance: allow.id, state: 'ended' }, start)).toEqual([what]);
    expect(await after({ ...agent, what: 'started' }, start)).toEqual([what]);
  });

  test('is read with its ends from the record', async () => {
    using place = new TemporaryDirectory();
    const path = place.join('audit.jsonl');
    const end = { ...agent, what: 'allowance', allowance: allow.id, state: 'ended' };
    const lines = [{ ...approved, ...scope, time: when(0), signed: await signed(allow) }, end, start];
    writeFileSync(path, lines.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const found = await checkSignatures(verifyRecord(path).signed);
    expect(found.findings).toMatchObject([{ line: 3, what: 'the allowance that it ran by had ended' }]);
  });
});

test('an undo of another file than the signed one is found; a mask in its path matches anything', async () => {
  const undo = { ...newOrder(), kind: 'undo', change: SESSION, path: '/srv/a-key/b', expected: DIGEST } as const;
  const order = { ...undo, digest: 'c'.repeat(64) };
  const undone = {
    ...line,
    by,
    event: 'operation',
    op: 'undo',
    path: order.path,
    undoes: SESSION,
    before_sha256: DIGEST,
  };
  const proof = await signed(order);
  for (const path of [order.path, '/srv/‹password›/b', '/srv/a-‹GitHub token›'])
    expect([path, await findings({ ...undone, path, signed: proof })]).toEqual([path, []]);
  for (const path of ['/etc/shadow', '/srv/‹password›/c', '/etc/‹password›/b', undefined])
    expect(await findings({ ...undone, path, signed: proof })).toEqual(['its signature is for something else']);
});

test('an order that is on record twice is found, unless it is about a token', async () => {
  const twice = async (record: AuditLine, order: SignedOrder): Promise<readonly string[]> => {
    const both = { ...record, signed: await signed(order) };
    const lines = [1, 2].map((number) => ({ file: 'f', line: number, record: both }));
    return (await checkSignatures(lines)).findings.map(({ line: number, what }) => `${number}: ${what}`);
  };
  expect(await twice(approved, approve)).toEqual(['2: its signed order is on record before: an order counts once']);
  // An agent that was started again notes these again.
  const order = {
    ...newOrder(),
    kind: 'change-token',
    token: 'a',
    made: '0123abcd',
    profile: 'full',
    expires_at: 1,
  } as const;
  const token = { ...line, by, event: 'agent', what: 'token order', kind: order.kind, token: 'a#0123abcd' };
  expect(await twice({ ...token, profile: 'full', until: 1 }, order)).toEqual([]);
});

test('an order for another server of a fleet is found, where the record says which one this is', async () => {
  const [mine, other] = [`U${'A'.repeat(55)}`, `U${'B'.repeat(55)}`];
  const order = { ...approve, server: mine };
  const joined = (server: string) => ({ ...line, event: 'agent', what: 'server of a hub', server });
  const found = async (first: AuditLine, ...records: readonly AuditLine[]): Promise<readonly string[]> => {
    const record = { ...approved, signed: await signed(order) };
    const lines = [...records, record].map((one, at) => ({ file: 'f', line: at + 1, record: one }));
    return (await checkSignatures(lines, first)).findings.map(({ what }) => what);
  };
  const elsewhere = ['its signature is for another server'];
  expect(await found(line as AuditLine, joined(other), joined(mine))).toEqual([]);
  expect(await found(line as AuditLine, joined(mine), joined(other))).toEqual(elsewhere);
  expect(await found(line as AuditLine)).toEqual(elsewhere);
  // The line that says it may be in a file that is gone.
  expect(await found({ ...line, seq: 9 } as AuditLine)).toEqual([]);
});
