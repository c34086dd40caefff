import { lookup } from 'node:dns/promises';
import { isPublicAddress } from './addresses.ts';

/** Resolves a name, and fetches from an address of it; tests bring their own. */
export interface Network {
  resolve(host: string): Promise<readonly string[]>;
  /** Follows no redirect, and gives the body as it comes. `accept` is the type that is asked for. */
  fetch(url: URL, address: string, signal: AbortSignal, accept: string): Promise<Response>;
}

/** Sends a body by POST to an address of a name; follows no redirect. Tests bring their own. */
export interface Sender extends Pick<Network, 'resolve'> {
  post(url: URL, address: string, signal: AbortSignal, sent: Sent): Promise<Response>;
}

/** What is sent, with the headers that say what it is. */
export interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** An address of `host`; undefined where one of them is not public, so that nobody reaches this machine's neighbours. */
export async function publicAddress(network: Pick<Network, 'resolve'>, host: string): Promise<string | undefined> {
  return (await publicAddresses(network, host))[0];
}

/** All addresses of `host`; none where one of them is not public. */
export async function publicAddresses(network: Pick<Network, 'resolve'>, host: string): Promise<readonly string[]> {
  const addresses = await network.resolve(host);
  return addresses.every(isPublicAddress) ? addresses : [];
}

/** What `work` gives, unless the signal comes first. */
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

/** To the address that was looked at, whatever the name says a moment later; the certificate is that of the name. */
function ask(url: URL, address: string, { headers, ...more }: RequestInit): Promise<Response> {
  return fetch(`https://${address.includes(':') ? `[${address}]` : address}${url.pathname}${url.search}`, {
    ...more,
    headers: { host: url.host, ...headers },
    tls: { serverName: url.hostname },
    redirect: 'manual',
    decompress: false,
  } as RequestInit);
}
