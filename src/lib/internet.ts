import { lookup } from 'node:dns/promises';
import { isPublicAddress } from './addresses.ts';

/** Resolves a name, and fetches from one of its addresses; tests bring their own. */
export interface Network {
  resolve(host: string): Promise<readonly string[]>;
  /** Follows no redirect, and returns the body as it comes. `accept` is the requested type. */
  fetch(url: URL, address: string, signal: AbortSignal, accept: string): Promise<Response>;
}

/** Sends a body by POST to an address of a name; follows no redirect. Tests bring their own. */
export interface Sender extends Pick<Network, 'resolve'> {
  post(url: URL, address: string, signal: AbortSignal, sent: Sent): Promise<Response>;
}

/** A body to send, with the headers that describe it. */
export interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Returns an address of `host`; undefined if any is not public, so that this machine's neighbours cannot be reached.
 */
export async function publicAddress(network: Pick<Network, 'resolve'>, host: string): Promise<string | undefined> {
  return (await publicAddresses(network, host))[0];
}

/** Returns all addresses of `host`; none if any is not public. */
export async function publicAddresses(network: Pick<Network, 'resolve'>, host: string): Promise<readonly string[]> {
  const addresses = await network.resolve(host);
  return addresses.every(isPublicAddress) ? addresses : [];
}

/** Resolves as `work` does, unless the signal comes first. */
export function inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', stop));
}

/** The internet as this machine sees it. */
export const internet: Network & Sender = {
  resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  fetch: (url, address, signal, accept) =>
    ask(url, address, { signal, headers: { accept, 'accept-encoding': 'identity' } }),
  post: (url, address, signal, sent) => ask(url, address, { ...sent, method: 'POST', signal }),
};

/** Connects to the address that was checked, even if the name changes; the certificate is that of the name. */
function ask(url: URL, address: string, { headers, ...more }: RequestInit): Promise<Response> {
  return fetch(`https://${address.includes(':') ? `[${address}]` : address}${url.pathname}${url.search}`, {
    ...more,
    headers: { host: url.host, ...headers },
    tls: { serverName: url.hostname },
    redirect: 'manual',
    decompress: false,
  } as RequestInit);
}
