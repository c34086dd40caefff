import { lookup } from 'node:dns/promises';
import { isPublicAddress } from './addresses.ts';

/** Resolves a name, and fetches from an address of it; tests bring their own. */
export interface Network {
  resolve(host: string): Promise<readonly string[]>;
  /** Follows no redirect, and gives the body as it comes. `accept` is the type that is asked for. */
  fetch(url: URL, address: string, signal: AbortSignal, accept: string): Promise<Response>;
}

/** An address of `host`; undefined where one of them is not public, so that nobody reaches this machine's neighbours. */
export async function publicAddress(network: Network, host: string): Promise<string | undefined> {
  const addresses = await network.resolve(host);
  return addresses.every(isPublicAddress) ? addresses[0] : undefined;
}

/** The internet as this machine sees it. */
export const internet: Network = {
  resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  // To the address that was looked at, whatever the name says a moment later; the certificate is that of the name.
  fetch: (url, address, signal, accept) =>
    fetch(`https://${address.includes(':') ? `[${address}]` : address}${url.pathname}${url.search}`, {
      headers: { host: url.host, accept, 'accept-encoding': 'identity' },
      tls: { serverName: url.hostname },
      redirect: 'manual',
      decompress: false,
      signal,
    } as RequestInit),
};
