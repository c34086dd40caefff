import type { Agent } from './agent.ts';
import type { Answer, Gap } from './answer.ts';

type Stream = 'stdout' | 'stderr';

/** Reads a stream page by page until `eof`; returns the pages. */
export async function readPages(agent: Agent, args: Readonly<Record<string, unknown>>): Promise<Answer[]> {
  const pages: Answer[] = [];
  let offset = 0;
  for (;;) {
    const page = await agent.read({ ...args, offset });
    pages.push(page);
    if (page.eof) return pages;
    if (page.next_offset <= offset && page.status !== 'running') throw new Error(`stuck at offset ${offset}`);
    offset = page.next_offset;
  }
}

/** A stream's exact bytes, read page by page. */
export async function readBytes(agent: Agent, session: string, stream: Stream = 'stdout'): Promise<Buffer> {
  const pages = await readPages(agent, { session, stream, encoding: 'base64' });
  return Buffer.concat(pages.map((page) => Buffer.from(page[stream], 'base64')));
}

/** The exact bytes that an answer left out, read with the offset it shows. */
export async function readGap(agent: Agent, session: string, gap: Gap, stream: Stream = 'stdout'): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let read = 0;
  while (read < gap.bytes) {
    const [offset, limit] = [gap.offset + read, gap.bytes - read];
    const page = await agent.read({ session, stream, encoding: 'base64', offset, limit });
    const piece = Buffer.from(page[stream], 'base64');
    if (piece.length === 0) throw new Error(`the gap ended early, at ${read} of ${gap.bytes} bytes`);
    pieces.push(piece);
    read += piece.length;
  }
  return Buffer.concat(pieces);
}

/** The line in the place of what was left out, and the line break that ends it where something follows. */
const MARKER = /\[agent3: (\d+) bytes omitted; read_session offset (\d+) reads them\](?:\n|$)/;

/** The parts of a stream in an answer, with what its marker line says. */
export interface Parts {
  readonly head: string;
  readonly tail: string;
  readonly gap: Gap;
}

/**
 * Divides a stream of an answer at its marker line; throws where it has no marker. A line break before the marker
 * belongs to it only where it is one byte more than the head that the marker shows.
 */
export function partsOf(text: string): Parts {
  const found = MARKER.exec(text);
  if (found === null) throw new Error(`no marker line in ${JSON.stringify(text.slice(0, 200))} …`);
  const gap = { bytes: Number(found[1]), offset: Number(found[2]) };
  const before = text.slice(0, found.index);
  const head = byteLength(before) === gap.offset || !before.endsWith('\n') ? before : before.slice(0, -1);
  return { head, tail: text.slice(found.index + found[0].length), gap };
}

/** Bytes of `text` in UTF-8. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text);
}

/** A server-sent event. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** The events of a stream as they come. */
export async function* eventsOf(response: Response): AsyncGenerator<StreamEvent> {
  if (response.status !== 200) throw new Error(`no stream: ${response.status} ${await response.text()}`);
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      text = text.slice(end + 2);
      if (fields['event'] === undefined) continue;
      yield { event: fields['event'], id: fields['id'] ?? '', data: JSON.parse(fields['data'] ?? '') };
    }
  }
  if (text !== '') throw new Error(`a stream ended within an event: ${text}`);
}
