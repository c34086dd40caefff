import { expect, test } from 'bun:test';
import { transferFinding } from '../../../src/install/doctor/transfer.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const BY = 'https://agent.example.org';

/** What the doctor finds where the public URL answers a PUT so. */
async function find(
  domain: string | null,
  answer: (body: Uint8Array) => Response,
  link: object = { url: `${BY}/transfer/x` },
) {
  using files = new TemporaryDirectory();
  const values = { AGENT3_API_TOKEN: 't'.repeat(16), AGENT3_PUBLIC_URL: BY, AGENT3_SESSIONS_DIR: files.path };
  return transferFinding(values, domain, (origin) => async (path, init) => {
    if (path === '/upload') return Response.json(link);
    expect([origin, path]).toEqual([BY, '/transfer/x']);
    return answer(init?.body as Uint8Array);
  });
}

test('a file that passes is well', async () => {
  const found = await find(null, (body) => Response.json({ sha256: Bun.SHA256.hash(body, 'hex') }));
  expect(found).toEqual({ ok: true, found: `a file of 3 MiB was transferred by ${BY}` });
});

test('a token that may not upload is well', async () => {
  expect(await find(null, () => new Response(), { message: 'no' })).toMatchObject({ ok: true });
});

test.each<readonly [string, () => Response]>([
  ['answered 413', () => new Response('<html>', { status: 413 })],
  ['answered 201', () => Response.json({ sha256: 'another' }, { status: 201 })],
  [
    'cut off',
    () => {
      throw new Error('closed');
    },
  ],
])('a file that is %s is not', async (what, answer) => {
  expect(await find(null, answer)).toMatchObject({ ok: false, found: expect.stringContaining(what) });
  expect(await find('agent.example.org', answer)).toMatchObject({
    advice: 'agent3 install --domain agent.example.org',
  });
});
