import { Elysia } from 'elysia';
import icon from 'swagger-ui-dist/favicon-32x32.png' with { type: 'file' };
import style from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' };
import bundle from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' };

interface DocsFile {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Blob;
  readonly bytes: number;
}

const PAGE = '/docs';
const START = '/docs/start.js';

/** What comes from Swagger UI as it is. Its paths are embedded here, its bytes lie in the executable until they are asked for. */
const ASSETS: Readonly<Record<string, { readonly path: string; readonly type: string }>> = {
  '/docs/swagger-ui-bundle.js': { path: bundle, type: 'text/javascript; charset=utf-8' },
  '/docs/swagger-ui.css': { path: style, type: 'text/css; charset=utf-8' },
  '/docs/favicon.png': { path: icon, type: 'image/png' },
};

/** Every path that the page consists of. None takes a token, for none holds a secret. */
export const DOCS_PATHS: readonly string[] = [PAGE, START, ...Object.keys(ASSETS)];

/** An owner types his token into this page: it loads from and talks to nobody but the agent, and is in nobody's frame. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Swagger UI's style sheet has its arrows and locks as data: URLs.
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

const files = new Map<string, Promise<DocsFile>>();

/** The part of the page at `path`, one of `DOCS_PATHS`. */
export function docsFile(path: string): Promise<DocsFile> {
  const file = files.get(path) ?? makeFile(path);
  files.set(path, file);
  return file;
}

async function makeFile(path: string): Promise<DocsFile> {
  const asset = ASSETS[path];
  if (asset !== undefined) {
    const body = Bun.file(asset.path);
    return { headers: headersOf(asset.type, await body.bytes()), body, bytes: body.size };
  }
  const { page, start } = await makePage();
  const [body, type] = path === START ? [start, 'text/javascript'] : [page, 'text/html'];
  return { headers: headersOf(`${type}; charset=utf-8`, body), body, bytes: Buffer.byteLength(body) };
}

function headersOf(type: string, content: string | Uint8Array): Readonly<Record<string, string>> {
  const hash = new Bun.CryptoHasher('sha256').update(content).digest('base64url').slice(0, 22);
  // Paths stay the same in the next version: browsers ask each time, and hear 304 as long as nothing has changed.
  return { ...SECURITY_HEADERS, 'content-type': type, etag: `"${hash}"`, 'cache-control': 'no-cache' };
}

/** Whether the client has the file already, by its `If-None-Match`. */
export function hasFile(headers: Headers, file: DocsFile): boolean {
  const known = (headers.get('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return known.includes(file.headers['etag'] ?? '');
}

/**
 * The swagger plugin's page, changed in two points: its script comes from the agent and not from a CDN, and the script
 * in the page, which starts it, is a file of its own, so that the policy can forbid scripts in the page. All URLs are
 * relative: the page works under every name that a proxy gives it.
 */
async function makePage(): Promise<{ page: string; start: string }> {
  const { swagger } = await import('@elysiajs/swagger');
  const plugin = new Elysia().use(
    swagger({
      provider: 'swagger-ui',
      path: PAGE,
      specPath: '/openapi.json?door=docs',
      theme: 'docs/swagger-ui.css',
      // What it adds for the dark is a style in the page, with a colour that is none.
      autoDarkMode: false,
      documentation: { info: { title: 'Agent3', version: '', description: 'A shell on a Linux server.' } },
      swaggerOptions: {
        persistAuthorization: false,
        // Otherwise it sends the document's URL to validator.swagger.io.
        validatorUrl: 'none',
        deepLinking: true,
        displayRequestDuration: true,
        defaultModelsExpandDepth: -1,
      },
    }),
  );
  await plugin.modules;
  let start = '';
  const page = await new HTMLRewriter()
    .on('head', { element: (head) => void head.append('<link rel="icon" href="docs/favicon.png" />', { html: true }) })
    .on('script[src]', {
      element: (script) => void script.setAttribute('src', 'docs/swagger-ui-bundle.js').removeAttribute('crossorigin'),
    })
    .on('script:not([src])', {
      element: (script) => void script.setAttribute('src', 'docs/start.js'),
      text: (chunk) => {
        start += chunk.text;
        chunk.remove();
      },
    })
    .transform(await plugin.handle(new Request(`http://localhost${PAGE}`)))
    .text();
  return { page, start };
}
