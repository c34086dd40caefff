import { useEffect, useRef, useState } from 'preact/hooks';
import type { Stream } from '../shown.ts';
import { post } from './api.ts';
import { describeBytes } from './format.ts';
import { OutputBox, outputText, writerInto } from './output.tsx';
import { words } from './words.ts';

/** Interval of requests for the output of a command on a server, and most bytes of an answer. */
const LOOK_MS = 1500;
const PART_BYTES = 65_536;
const STREAMS = ['stdout', 'stderr'] as const;

interface Output {
  readonly base64: string;
  readonly size: number;
}

interface ServerOutputProps {
  /** The key of the server. */
  readonly server: string;
  readonly session: string;
  readonly name: string;
  /** How much there is already: from the last of it on is shown. */
  readonly sizes: Readonly<Record<Stream, number>>;
}

/** What a command on a server of the fleet writes, as text; asked for again and again. */
export function ServerOutput({ server, session, name, sizes }: ServerOutputProps) {
  const box = useRef<HTMLDivElement>(null);
  const [isEmpty, setEmpty] = useState(true);
  useEffect(() => {
    if (box.current === null) return;
    const end = new AbortController();
    const write = writerInto(box.current);
    for (const stream of STREAMS)
      void follow(
        async (from) => {
          const args = { session, stream, from, bytes: PART_BYTES };
          return await post<Output>('server-reading', { server, op: 'output', args }, end.signal);
        },
        Math.max(0, sizes[stream] - PART_BYTES),
        (text) => {
          setEmpty(false);
          write(text, stream);
        },
        end.signal,
      );
    return () => end.abort();
  }, [server, session]);
  return <OutputBox box={box} isEmpty={isEmpty} name={name} />;
}

/** Reads a stream from an offset on until `end`; one that is far ahead is read from its last part. */
async function follow(
  read: (from: number) => Promise<Output>,
  begin: number,
  write: (text: string) => void,
  end: AbortSignal,
): Promise<void> {
  const decoder = new TextDecoder();
  for (let from = begin; !end.aborted; ) {
    // What a server cannot show now it may show with the next look.
    const part = document.hidden ? undefined : await read(from).catch(() => undefined);
    if (end.aborted) return;
    if (part !== undefined) {
      const bytes = Uint8Array.from(atob(part.base64), (character) => character.charCodeAt(0));
      if (bytes.length > 0) write(outputText(decoder.decode(bytes, { stream: true })));
      from += bytes.length;
      if (part.size - from > 4 * PART_BYTES) {
        write(`\n${words.views.leftOut(describeBytes(part.size - PART_BYTES - from))}\n`);
        from = part.size - PART_BYTES;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
