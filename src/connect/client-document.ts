import type { Clock } from '../lib/clock.ts';
import { inTime, internet, type Network, publicAddress } from '../lib/internet.ts';
import { type Client, clientName, isRedirect } from './clients.ts';

const MAX_ID_CHARS = 512;
const MAX_BYTES = 5120;
const TIMEOUT_MS = 5000;
const MAX_KEPT = 50;
const KEPT_MS = 3_600_000;
/** Most documents to fetch within a minute, in all. */
const MAX_FETCHES = 10;
const WINDOW_MS = 60_000;

/** A client's document cannot be used. The message is for the consent page. */
export class DocumentFault extends Error {}

/** Returns true when an id is the URL of a document that describes its client. */
export function isDocumentUrl(id: string): boolean {
  if (id.length > MAX_ID_CHARS || !/^https:\/\/[\x21-\x7e]+$/.test(id) || /[#\\]/.test(id) || !URL.canParse(id))
    return false;
  const { href, hostname, port, pathname, username, password } = new URL(id);
  if (href !== id || port !== '' || pathname === '/' || username !== '' || password !== '') return false;
  // A name with a dot, not an address: `hostname` of any address ends with digits or a bracket.
  return /\.[a-z][a-z0-9-]*$/.test(hostname) && !hostname.endsWith('.localhost');
}

/** Fetches the documents of clients (OAuth Client ID Metadata Document), and caches them for an hour. */
export class ClientDocuments {
  readonly #kept = new Map<string, { readonly client: Client; readonly untilMs: number }>();
  #sinceMs = Number.NEGATIVE_INFINITY;
  #fetches = 0;

  constructor(
    private readonly clock: Clock,
    private readonly network: Network = internet,
    private readonly timeoutMs = TIMEOUT_MS,
  ) {}

  /** Returns the client whose document is at `id`. Throws `DocumentFault`. */
  async client(id: string): Promise<Client> {
    const now = this.clock.elapsed();
    const kept = this.#kept.get(id);
    if (kept !== undefined && now < kept.untilMs) return kept.client;
    this.#requireTurn(now);
    const client = clientIn(id, await this.#fetch(id));
    this.#kept.delete(id);
    for (const [oldest] of this.#kept) if (this.#kept.size >= MAX_KEPT) this.#kept.delete(oldest);
    this.#kept.set(id, { client, untilMs: now + KEPT_MS });
    return client;
  }

  #requireTurn(now: number): void {
    if (now - this.#sinceMs >= WINDOW_MS) {
      this.#sinceMs = now;
      this.#fetches = 0;
    }
    if (this.#fetches >= MAX_FETCHES)
      throw new DocumentFault('too many programs were looked up within a minute. Try again in a minute');
    this.#fetches++;
  }

  async #fetch(id: string): Promise<unknown> {
    const url = new URL(id);
    const signal = AbortSignal.timeout(this.timeoutMs);
    try {
      const address = await inTime(publicAddress(this.network, url.hostname), signal);
      if (address === undefined) throw new DocumentFault(`${url.hostname} has no public address`);
      const response = await inTime(this.network.fetch(url, address, signal, 'application/json'), signal);
      if (response.status !== 200) {
        void response.body?.cancel();
        throw new DocumentFault(`${url.host} answered ${response.status}`);
      }
      return JSON.parse(await inTime(readShort(response), signal));
    } catch (error) {
      if (error instanceof DocumentFault) throw error;
      if (signal.aborted) throw new DocumentFault(`${url.host} did not answer in ${this.timeoutMs / 1000} s`);
      if (error instanceof SyntaxError) throw new DocumentFault(`the answer of ${url.host} is not JSON`);
      throw new DocumentFault(`${url.host} cannot be reached from this server`);
    }
  }
}

async function readShort(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_BYTES) throw new DocumentFault(`the answer is longer than ${MAX_BYTES} bytes`);
    pieces.push(piece);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces));
}

/** Parses a document. Its authentication method is ignored, because no client has a secret here. */
function clientIn(id: string, document: unknown): Client {
  const { host } = new URL(id);
  if (typeof document !== 'object' || document === null)
    throw new DocumentFault(`the answer of ${host} is not an object`);
  const { client_id, client_name, redirect_uris } = document as Record<string, unknown>;
  if (client_id !== id) throw new DocumentFault(`the document of ${host} is about another client`);
  const redirects = Array.isArray(redirect_uris) ? redirect_uris.filter(isRedirect) : [];
  if (redirects.length === 0) throw new DocumentFault(`the document of ${host} has no usable redirect`);
  return { id, name: clientName(client_name, host), isKnown: false, redirects };
}
