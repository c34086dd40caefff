import { delay } from '../lib/clock.ts';
import type { AgentClient } from './agent-client.ts';
import { mayPass, mayPassOnceReached, persist } from './patience.ts';

/** Every agent answers within this time by default. */
const WAIT_SECONDS = 20;
const STUCK_PAUSE_MS = 100;

/** What of a session is read. */
export interface Reading {
  readonly stream: 'stdout' | 'stderr';
  /** In bytes; negative: from the end. */
  readonly offset: number;
  /** Goes on until the command has ended. */
  readonly follow: boolean;
  /** Exact bytes; else text, of a terminal without its escape sequences. */
  readonly raw: boolean;
}

interface Page {
  readonly stdout: string;
  readonly stderr: string;
  readonly next_offset: number;
  readonly eof: boolean;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
}

/** A stream of a session, page by page, as it was or is written. Throws a `ClientFault`. */
export async function* readStream(
  client: AgentClient,
  session: string,
  { stream, offset: from, follow, raw }: Reading,
): AsyncGenerator<Uint8Array, void> {
  const encoding = raw ? 'base64' : 'utf8';
  let offset = from;
  let wait = 0;
  let worthwhile = mayPassOnceReached();
  for (;;) {
    const args = { session, stream, offset, encoding, wait };
    const page = await persist(() => client.call<Page>('read_session', args, { seconds: 30 + wait }), worthwhile);
    worthwhile = mayPass;
    const text = page[stream];
    if (text !== '') yield Buffer.from(text, encoding);
    const isStuck = page.next_offset === offset;
    offset = page.next_offset;
    const isAtEnd = isStuck || offset >= page[`${stream}_bytes`];
    if (page.eof || (isAtEnd && !follow)) return;
    // An escape sequence that is not whole is there, but no text yet.
    if (isStuck) await delay(STUCK_PAUSE_MS);
    wait = isAtEnd ? WAIT_SECONDS : 0;
  }
}
