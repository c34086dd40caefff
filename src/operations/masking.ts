import { type KnownSecrets, maskSpans, type SecretSpan, secretSpans } from '../core/secrets.ts';
import { decodeUtf8 } from '../core/utf8.ts';
import type { OperationParts } from './parts.ts';
import type { ByteSource } from './reply.ts';

/** So much before and after a part of a stream is looked at, to know what stands at its edges. */
const CONTEXT_BYTES = 4096;

/** A text of this length is near the limit of an answer: its marks are no longer than what they stand for. */
const LONG_CHARS = 20_000;
/** As long as the shortest value that is taken for a secret. */
const SHORT_MARK = '‹*›';

/** Masks secrets in one answer, and knows whether there were some. */
export class Masker {
  #count = 0;

  constructor(private readonly known: KnownSecrets) {}

  /** `text` without its secrets; `before` and `after` are what stands around it. */
  mask(text: string, before = '', after = ''): string {
    const from = before.length;
    const to = from + text.length;
    const spans: SecretSpan[] = [];
    for (const { start, end, kind } of secretSpans(before + text + after, this.known)) {
      if (end > from && start < to)
        spans.push({ start: Math.max(start, from) - from, end: Math.min(end, to) - from, kind });
    }
    this.#count += spans.length;
    const full = maskSpans(text, spans, (kind) => `‹${kind}›`).text;
    return text.length < LONG_CHARS || full.length <= text.length
      ? full
      : maskSpans(text, spans, () => SHORT_MARK).text;
  }

  /** The text of a part of a stream, from byte `start` to `end`, without its secrets. `show` is how it is shown. */
  maskPart(text: string, stream: ByteSource, start: number, end: number, show: (text: string) => string): string {
    const from = Math.max(0, start - CONTEXT_BYTES);
    const before = show(decodeUtf8(stream.read(from, start - from)));
    return this.mask(text, before, show(decodeUtf8(stream.read(end, CONTEXT_BYTES))));
  }

  /** The same bytes when they hold no secret, else their text without. */
  maskBytes(bytes: Uint8Array, stream: ByteSource, start: number): Uint8Array {
    const found = this.#count;
    const masked = this.maskPart(decodeUtf8(bytes), stream, start, start + bytes.length, (text) => text);
    return this.#count === found ? bytes : Buffer.from(masked);
  }

  /** Tells that something is not as the command wrote it. */
  hint(): string | undefined {
    if (this.#count === 0) return undefined;
    return 'What looks like a secret is masked in this answer, as ‹password› or the like; the profile of this token wants that.';
  }
}

/** What masks the answers to a principal; undefined where its profile wants no masks. */
export function maskerFor(
  { access, secrets }: Pick<OperationParts, 'access' | 'secrets'>,
  principal: string,
): Masker | undefined {
  return access.profileFor(principal).mask ? new Masker(secrets) : undefined;
}
