import { useEffect, useMemo, useState } from 'preact/hooks';
import { encode } from 'uqr';
import { base64url, hex } from '../order.ts';
import { describeSpan } from './format.ts';
import { words } from './words.ts';

/** Like those of `agent3 token create`: 32 random bytes. */
export function newSecret(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

/** The id of a token. */
export function newId(): string {
  return hex(crypto.getRandomValues(new Uint8Array(4)));
}

const CODE_CHARS = 16;
/** RFC 4648: neither 0 nor 1 is in it, which look like letters. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A one-time code of 80 bits. */
export function newCode(): string {
  // 256 is a multiple of 32: every character is as likely.
  const bytes = crypto.getRandomValues(new Uint8Array(CODE_CHARS));
  return Array.from(bytes, (byte) => BASE32.charAt(byte % BASE32.length)).join('');
}

/** A code as people read it. */
export function spellCode(code: string): string {
  return code.replace(/.{4}(?=.)/g, '$&-');
}

const SHOWN_MS = 60_000;

interface ShownOnceProps {
  readonly title: string;
  readonly text: string;
  /** The text of its QR code; undefined: it has no QR code. */
  readonly qr?: string;
  /** How long it is shown. */
  readonly ms?: number;
  readonly onOver: () => void;
}

/** Shows a secret for a while. */
export function ShownOnce({ title, text, qr, ms = SHOWN_MS, onOver }: ShownOnceProps) {
  const [until] = useState(() => Date.now() + ms);
  const [now, setNow] = useState(Date.now());
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const isOver = now >= until;
  useEffect(() => {
    if (isOver) onOver();
  }, [isOver]);
  const copy = (): void => void navigator.clipboard?.writeText(text).then(() => setCopied(true));
  return (
    <section class="secret" aria-label={title}>
      <p role="status">
        {title} {words.access.hidden(describeSpan(until - now))}
      </p>
      <p>
        <code class="secret-text">{text}</code>
      </p>
      <div class="actions">
        <button type="button" onClick={copy}>
          {isCopied ? words.access.copied : words.access.copy}
        </button>
        <button type="button" class="quiet" onClick={onOver}>
          {words.access.hide}
        </button>
      </div>
      {qr !== undefined && <QrCode text={qr} />}
    </section>
  );
}

/** Dark on light whatever the colours of the page are: cameras read it so. */
function QrCode({ text }: { text: string }) {
  const { data, size } = useMemo(() => encode(text, { border: 2 }), [text]);
  const path = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : []))).join('');
  return (
    <svg
      class="qr"
      role="img"
      aria-label={words.access.qr}
      viewBox={`0 0 ${size} ${size}`}
      shape-rendering="crispEdges"
    >
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
