import { InvalidArguments, MachineRefused } from '../lib/errors.ts';
import { internet, type Network, publicAddress } from '../lib/internet.ts';
import { tooLarge } from './transfer.ts';

/**
 * Hosts of files that ChatGPT passes on: `files.oaiusercontent.com` in OpenAI's "Sending and returning files with GPT
 * Actions", and others for regions. Deeper names are pages of users (`*.web-sandbox.oaiusercontent.com`).
 */
const HOST = /^[a-z0-9-]+\.oaiusercontent\.com$/;

const MAX_URL_CHARS = 8192;

/**
 * Returns the bytes of a file that a chat has passed on by its URL, at most `most`: over HTTPS, from a host of OpenAI
 * at a public address, without redirects. Throws `InvalidArguments` for another URL, `RequestTooLarge`,
 * `MachineRefused`.
 */
export async function* chatFile(
  text: string,
  most: number,
  signal: AbortSignal,
  network: Network = internet,
): AsyncGenerator<Uint8Array, void> {
  const url = urlIn(text);
  const response = await open(url, signal, network);
  const announced = Number(response.headers.get('content-length') ?? 0);
  if (announced > most) {
    void response.body?.cancel();
    throw tooLarge(most);
  }
  let bytes = 0;
  try {
    for await (const piece of response.body ?? []) {
      bytes += piece.length;
      yield piece;
    }
  } catch (error) {
    throw failed(url, signal, error);
  }
  if (response.headers.has('content-length') && bytes !== announced)
    throw failed(url, signal, new Error(`${bytes} of ${announced} bytes came`));
}

function urlIn(text: string): URL {
  const url = text.length <= MAX_URL_CHARS && URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.protocol === 'https:' && url.port === '' && url.username === '' && url.password === '';
  if (url !== undefined && isPlain && HOST.test(url.hostname)) return url;
  throw new InvalidArguments(
    'file.download_url is not that of a file in ChatGPT (https, a host of oaiusercontent.com). Nothing was fetched. Leave file out: upload then returns a link for the file.',
  );
}

async function open(url: URL, signal: AbortSignal, network: Network): Promise<Response> {
  try {
    const address = await publicAddress(network, url.hostname);
    if (address === undefined)
      throw new MachineRefused(`${url.hostname} has no public address here. Nothing was fetched.`, undefined);
    const response = await network.fetch(url, address, signal, '*/*');
    const isAsItIs = ['', 'identity'].includes(response.headers.get('content-encoding') ?? '');
    if (response.status === 200 && isAsItIs) return response;
    void response.body?.cancel();
    const what = response.status === 200 ? 'in an encoding that was not requested' : String(response.status);
    throw new MachineRefused(
      `${url.hostname} answered ${what}, so nothing was written. The link of a file ends after minutes: attach the file again.`,
      undefined,
    );
  } catch (error) {
    throw failed(url, signal, error);
  }
}

function failed({ hostname }: URL, signal: AbortSignal, error: unknown): unknown {
  if (error instanceof MachineRefused) return error;
  const why = signal.aborted ? 'the file did not come in time' : `${hostname} cannot be reached, or ended early`;
  return new MachineRefused(
    `Nothing was written: ${why}. Try it again, or use the link of upload without file.`,
    error,
  );
}
