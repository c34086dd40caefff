import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import type { AuditLine } from '../../src/audit/chain.ts';
import { verifyRecord } from '../../src/audit/verify.ts';
import { newOrder } from '../../src/console/order.ts';
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

async function signed(order: typeof approve | typeof thaw) {
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
    expect(await findings({ ...approved, ...change, signed: right })).toEqual(['its signature is of something else']);
  expect(await findings({ ...thawed, since: '', signed: await signed(thaw) })).toBeArrayOfSize(1);
  expect(await findings({ ...thawed, signed: right })).toBeArrayOfSize(1);
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
  expect((await checkSignatures(claimed)).findings.map(({ what }) => what)).toEqual(['its signature is none']);
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
