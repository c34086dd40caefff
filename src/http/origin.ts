import { ForeignOrigin } from '../lib/errors.ts';

/**
 * Refuses what a page of another site sends: a browser names the page in `Origin`, other clients send none. Allowed are
 * pages of this machine and the server's own, `own` by the request itself, `publicUrl` by the settings. Throws
 * `ForeignOrigin`.
 */
export function refuseForeignOrigin(headers: Headers, own: string, publicUrl: string | undefined): void {
  const origin = headers.get('origin');
  if (origin === null || isLoopback(origin)) return;
  if (publicUrl !== undefined && origin.toLowerCase() === new URL(publicUrl).origin) return;
  if (origin.toLowerCase() === own.toLowerCase() && !canBeRebound(own)) return;
  throw new ForeignOrigin(
    'A browser sent this from a page of another site. Allowed are pages on localhost and on the address of this server; behind a name, its owner sets AGENT3_PUBLIC_URL.',
  );
}

/** Whether this is an origin on a loopback name or address, which no page of another site has. */
export function isLoopback(origin: string): boolean {
  const host = hostOf(origin);
  return host === 'localhost' || host === '[::1]' || (host !== undefined && /^127\.\d+\.\d+\.\d+$/.test(host));
}

/**
 * DNS rebinding: a page on a name whose owner points it at this machine is same-origin by `Host`. An address cannot be
 * pointed elsewhere, and over HTTPS the certificate proves the name.
 */
function canBeRebound(own: string): boolean {
  const host = hostOf(own);
  const isAddress = host !== undefined && (/^\d+\.\d+\.\d+\.\d+$/.test(host) || host.startsWith('['));
  return !isAddress && !own.startsWith('https:');
}

/** The host name of an origin; undefined for what is none, such as `null`. */
function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).hostname : undefined;
}
