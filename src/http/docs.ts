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

/** The files of Swagger UI, embedded in the executable and read on request. */
const ASSETS: Readonly<Record<string, { readonly path: string; readonly type: string }>> = {
  '/docs/swagger-ui-bundle.js': { path: bundle, type: 'text/javascript; charset=utf-8' },
  '/docs/swagger-ui.css': { path: style, type: 'text/css; charset=utf-8' },
  '/docs/favicon.png': { path: icon, type: 'image/png' },
};

/** All paths of the page. None needs a token, because none has a secret. */
export const DOCS_PATHS: readonly string[] = [PAGE, START, ...Object.keys(ASSETS)];

/** Owners type their token into this page, so it loads from and talks to the agent only, and cannot be framed. */
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

/** Returns the file of the page at `path`, one of `DOCS_PATHS`. */
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
  // Paths are the same in every version, so browsers ask each time, and get 304 while nothing has changed.
  return { ...SECURITY_HEADERS, 'content-type': type, etag: `"${hash}"`, 'cache-control': 'no-cache' };
}

/** Returns true when the client has the file, by its `If-None-Match`. */
export function hasFile(headers: Headers, file: DocsFile): boolean {
  const known = (headers.get('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return known.includes(file.headers['etag'] ?? '');
}

/**
 * The page of the swagger plugin, with two changes. Its script comes from the agent, not from a CDN. Its inline script is
 * a file, so that the policy can forbid inline scripts. All URLs are relative, so that it works behind any proxy.
 */
async function makePage(): Promise<{ page: string; start: string }> {
  const { swagger } = await import('@elysiajs/swagger');
  const plugin = new Elysia().use(
    swagger({
      provider: 'swagger-ui',
      path: PAGE,
      specPath: '/openapi.json?door=docs',
      theme: 'docs/swagger-ui.css',
      // Its dark mode adds an inline style with an invalid colour.
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
