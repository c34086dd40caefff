import { extname } from 'node:path';
import { bundlePage } from './page-macro.ts' with { type: 'macro' };

/** A file of the owner's page. */
export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For `Content-Type`. */
  readonly type: string;
  /** Its name changes with its content: a browser may keep it for good. */
  readonly isFixed: boolean;
}

/** A name with a hash of the content. */
const HASHED = /-[a-z0-9]{8}\.[a-z]+$/;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.json': 'application/json',
};

/**
 * The files of the owner's page by their names, without a directory; `index.html` is the page, `worker.js` its service
 * worker. Apart from them the page needs only `/api`.
 */
export function pageFiles(): Readonly<Record<string, PageFile>> {
  // Within the function: who never serves the page never unpacks it.
  const packed: Record<string, string> = JSON.parse(bundlePage());
  const entries = Object.entries(packed).map(([name, base64]): [string, PageFile] => {
    const bytes = Bun.gunzipSync(Buffer.from(base64, 'base64'));
    return [name, { bytes, type: TYPES[extname(name)] ?? 'application/octet-stream', isFixed: HASHED.test(name) }];
  });
  return Object.fromEntries(entries);
}
