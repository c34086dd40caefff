import { expect, test } from 'bun:test';
import { signInFinding } from '../../../src/install/doctor/sign-in.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';

test('the doctor gets through the sign-in of a real agent', async () => {
  await using server = await SignInAgent.start();
  expect(await signInFinding({ values: server.settings, domain: null, hasGrants: true })).toEqual({
    ok: true,
    found: `clients can sign in at ${server.mcp}`,
  });
});

test('also of one that speaks HTTPS itself, with a certificate of its own', async () => {
  using directory = new TemporaryDirectory();
  const { cert, key } = makeCertificate(directory.path, '127.0.0.1');
  const port = await freePort();
  await using server = await SignInAgent.start({
    AGENT3_PORT: String(port),
    AGENT3_PUBLIC_URL: `https://127.0.0.1:${port}`,
    AGENT3_TLS_CERT: cert,
    AGENT3_TLS_KEY: key,
  });
  const input = { values: server.settings, domain: null };
  expect(await signInFinding({ ...input, hasGrants: false })).toMatchObject({
    ok: true,
    found: expect.stringContaining('so chats cannot sign in'),
  });
  expect(await signInFinding({ ...input, hasGrants: true })).toMatchObject({ ok: false });
});

test('an agent without a public URL takes no sign-ins, and says so', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  await using server = await SignInAgent.start({ AGENT3_PORT: String(port), AGENT3_PUBLIC_URL: '' });
  const values = { ...server.settings, AGENT3_PUBLIC_URL: url };
  expect(await signInFinding({ values, domain: null, hasGrants: true })).toMatchObject({
    ok: false,
    found: expect.stringContaining('the running agent accepts no sign-ins'),
  });
  const challenge = await fetch(`${url}/mcp`, { method: 'POST', body: '{}' });
  expect([challenge.status, challenge.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
});
