import { describe, expect, test } from 'bun:test';
import { ClientDocuments, DocumentFault, isDocumentUrl } from '../../src/connect/client-document.ts';
import type { Network } from '../../src/lib/internet.ts';

const ID = 'https://client.example/oauth/client.json';
const GOOD = { client_id: ID, client_name: 'A client', redirect_uris: ['https://client.example/cb', 'ftp://x'] };

/** Documents from a network that answers `body`, and what was asked of it. */
function documentsFrom(
  answer: () => Response | Promise<Response>,
  addresses: readonly string[] = ['8.8.8.8'],
  timeoutMs?: number,
) {
  const asked: string[] = [];
  let nowMs = 0;
  const network: Network = {
    resolve: async () => addresses,
    fetch: async (url, address) => {
      asked.push(`${url.href} at ${address}`);
      return answer();
    },
  };
  const documents = new ClientDocuments({ now: () => nowMs, elapsed: () => nowMs }, network, timeoutMs);
  return {
    asked,
    documents,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

const json = (body: unknown) => () => new Response(JSON.stringify(body));

describe('the document of a client', () => {
  test('is fetched once an hour, from the address that was looked at', async () => {
    const { documents, asked, pass } = documentsFrom(json({ ...GOOD, token_endpoint_auth_method: 'private_key_jwt' }));
    const client = { id: ID, name: 'A client', isKnown: false, redirects: ['https://client.example/cb'] };
    expect(await documents.client(ID)).toEqual(client);
    pass(3_599_000);
    expect(await documents.client(ID)).toEqual(client);
    expect(asked).toEqual([`${ID} at 8.8.8.8`]);
    pass(1000);
    await documents.client(ID);
    expect(asked).toHaveLength(2);
  });

  test.each([
    ['HTML', () => new Response('<!doctype html><p>404', { headers: { 'content-type': 'text/html' } })],
    ['503', () => new Response('{}', { status: 503 })],
    ['a redirect', () => new Response(null, { status: 302, headers: { location: 'http://169.254.169.254/' } })],
    ['a client of another name', json({ ...GOOD, client_id: 'https://client.example/other' })],
    ['no redirect', json({ client_id: ID, redirect_uris: ['cursor://x'] })],
    ['redirects that are no list', json({ client_id: ID, redirect_uris: 'https://client.example/cb' })],
    ['null', json(null)],
    ['a broken connection', () => Promise.reject(new Error('reset'))],
    ['bytes that are no UTF-8', () => new Response(new Uint8Array([0xff, 0xfe]))],
    ['more than 5120 bytes', () => new Response(JSON.stringify({ ...GOOD, more: 'a'.repeat(6000) }))],
  ])('is not used when the answer is %s', async (_, answer) => {
    await expect(documentsFrom(answer).documents.client(ID)).rejects.toBeInstanceOf(DocumentFault);
  });

  test('is not read further than 5120 bytes', async () => {
    let pieces = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pieces++;
        controller.enqueue(new Uint8Array(1024));
      },
    });
    const { documents } = documentsFrom(() => new Response(endless));
    await expect(documents.client(ID)).rejects.toThrow('longer than 5120 bytes');
    expect(pieces).toBeLessThan(10);
  });

  test('is not waited for without end', async () => {
    const { documents } = documentsFrom(() => new Promise<Response>(() => {}), ['8.8.8.8'], 100);
    await expect(documents.client(ID)).rejects.toThrow('did not answer in 0.1 s');
  });

  test.each([
    ['127.0.0.1'],
    ['169.254.169.254'],
    ['::1'],
    ['10.0.0.1'],
    ['8.8.8.8', '192.168.1.1'],
    ['fd00::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
    [],
  ])('is not fetched from %p', async (...addresses) => {
    const { documents, asked } = documentsFrom(json(GOOD), addresses);
    await expect(documents.client(ID)).rejects.toThrow('has no public address');
    expect(asked).toEqual([]);
  });

  test('is fetched ten times a minute, for all clients together', async () => {
    const { documents, asked, pass } = documentsFrom(() => new Response('{}', { status: 503 }));
    for (let at = 0; at < 10; at++)
      await expect(documents.client(`https://client${at}.example/c`)).rejects.toThrow('answered 503');
    await expect(documents.client(ID)).rejects.toThrow('within a minute');
    expect(asked).toHaveLength(10);
    pass(60_000);
    await expect(documents.client(ID)).rejects.toThrow('answered 503');
  });
});

describe('the URL of a document', () => {
  test.each([ID, 'https://a.example/x?y=1'])('can be %s', (id) => expect(isDocumentUrl(id)).toBe(true));
  test.each([
    'http://client.example/c',
    'https://client.example',
    'https://client.example/',
    'https://client.example:8443/c',
    'https://user@client.example/c',
    'https://client.example/c#x',
    'https://client.example/a/../c',
    'https://127.0.0.1/c',
    'https://2130706433/c',
    'https://0x7f.1/c',
    'https://[::1]/c',
    'https://localhost/c',
    'https://a.localhost/c',
    'https://intranet/c',
    `https://client.example/${'a'.repeat(600)}`,
    'r.x.y',
    '',
  ])('is not %s', (id) => expect(isDocumentUrl(id)).toBe(false));
});
