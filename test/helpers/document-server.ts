import { relayTo } from './relay.ts';
import { PUSHED } from './small-internet.ts';

/**
 * Runs in a network of its own, where its addresses are the internet: serves documents of clients over HTTPS, good and
 * bad ones, says on its output what was asked for, and leads connections of a socket to the agent in the same network.
 * Arguments: the certificate, its key, the socket, the agent's port, and the addresses.
 */

const [certificate = '', key = '', socket = '', port = '', ...addresses] = process.argv.slice(2);

const REDIRECT = 'https://app.example/callback';
const GIGABYTE = 2 ** 30;

/** What lies at the path of each name. */
const DOCUMENTS: Readonly<Record<string, (id: string, host: string) => Response | Promise<Response>>> = {
  '/client.json': (id) => Response.json(documentOf(id)),
  '/as-chatgpt.json': (id) =>
    Response.json({
      ...documentOf(id),
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      jwks_uri: `${id}/jwks`,
    }),
  '/file': () => new Response('a file of a chat'),
  '/html': () => new Response('<!doctype html><title>Sign in</title>', { headers: { 'content-type': 'text/html' } }),
  '/html-as-json': () => new Response('<!doctype html>', { headers: { 'content-type': 'application/json' } }),
  '/503': (id) => Response.json(documentOf(id), { status: 503 }),
  '/404': (id) => Response.json(documentOf(id), { status: 404 }),
  '/gigabyte': () => new Response(endless(), { headers: { 'content-type': 'application/json' } }),
  '/bomb': () => {
    const bomb = Bun.gzipSync(Buffer.alloc(GIGABYTE / 8, ' '));
    return new Response(bomb, { headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } });
  },
  '/slow': (id) => new Response(slowly(JSON.stringify(documentOf(id)))),
  '/silent': () => new Promise<Response>(() => {}),
  '/moved': (_id, host) => Response.redirect(`https://${host}/client.json`, 302),
  '/moved-inside': () => Response.redirect('https://127.0.0.1/client.json', 307),
  '/of-another': () => Response.json(documentOf('https://good.example/client.json')),
  '/list': (id) => Response.json([documentOf(id)]),
  '/no-redirects': (id) => Response.json({ ...documentOf(id), redirect_uris: [] }),
  '/bad-redirects': (id) => Response.json({ ...documentOf(id), redirect_uris: ['http://app.example/', 'app:x'] }),
};

/** What a push service answers at some paths; elsewhere it takes what comes. */
const PUSH_ANSWERS: Readonly<Record<string, () => Response | Promise<Response>>> = {
  '/push/gone': () => new Response('', { status: 410 }),
  '/push/moved-inside': () => Response.redirect('https://127.0.0.1/push/inside', 307),
  '/push/silent': () => new Promise<Response>(() => {}),
  '/push/endless': () => new Response(endless(), { status: 201 }),
};

function documentOf(id: string) {
  return { client_id: id, client_name: 'An App', redirect_uris: [REDIRECT] };
}

function endless(): ReadableStream<Uint8Array> {
  const piece = new Uint8Array(65_536).fill(0x20);
  let sent = 0;
  return new ReadableStream({
    pull: (controller) => {
      if (sent >= GIGABYTE) return controller.close();
      sent += piece.length;
      controller.enqueue(piece);
    },
  });
}

async function* slowly(text: string): AsyncGenerator<string> {
  for (const letter of text) {
    yield letter;
    await Bun.sleep(200);
  }
}

for (const hostname of addresses)
  Bun.serve({
    hostname,
    port: 443,
    idleTimeout: 60,
    tls: { cert: Bun.file(certificate), key: Bun.file(key) },
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      const host = request.headers.get('host') ?? '';
      process.stdout.write(`${hostname} ${host} ${pathname}\n`);
      if (request.method === 'POST') {
        const base64 = Buffer.from(await request.arrayBuffer()).toString('base64');
        const pushed = { path: pathname, headers: Object.fromEntries(request.headers), base64 };
        process.stdout.write(`${PUSHED}${JSON.stringify(pushed)}\n`);
        return PUSH_ANSWERS[pathname]?.() ?? new Response('', { status: 201 });
      }
      const name = /^\/many\//.test(pathname) ? '/client.json' : pathname;
      return DOCUMENTS[name]?.(`https://${host}${pathname}`, host) ?? new Response('nothing', { status: 404 });
    },
  });

Bun.listen({ unix: socket, socket: relayTo({ hostname: '127.0.0.1', port: Number(port) }) });
process.stdout.write('ready\n');
