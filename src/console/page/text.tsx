import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { visibleText } from '../../lib/visible.ts';
import { words } from './words.ts';

/** A longer text begins collapsed, and must be read to its end. */
const [SHORT_LINES, SHORT_CHARS] = [12, 700];
/** Fewer empty lines than this push nothing off a screen. */
const MANY_EMPTY = 4;
/** More lines than this are one text without numbers: a browser is slow with so many elements. */
const MOST_ROWS = 5000;

export function isLong(text: string): boolean {
  return text.length > SHORT_CHARS || text.split('\n', SHORT_LINES + 1).length > SHORT_LINES;
}

function sizeOf(text: string): string {
  return `${words.lines(linesOf(text))}, ${words.characters([...text].length)}`;
}

/** Its first whole lines; of a first line that is too long, a part. */
function shortened(text: string): string {
  const start = text.split('\n', SHORT_LINES).join('\n');
  if (start.length <= SHORT_CHARS) return start;
  const end = start.lastIndexOf('\n', SHORT_CHARS);
  return start.slice(0, end === -1 ? SHORT_CHARS : end);
}

function linesOf(text: string): number {
  return text.split('\n').length;
}

interface TextBlockProps {
  readonly name: string;
  readonly text: string;
  readonly isDiff?: boolean;
  /** The end of a long text was on the screen. */
  readonly onRead: () => void;
}

/**
 * A text of a client as it is: nothing in it acts, what hides is written out, each line has its number, letters stand in
 * the order in which they run.
 */
export function TextBlock({ name, text, isDiff = false, onRead }: TextBlockProps) {
  const long = isLong(text);
  const [isOpen, setOpen] = useState(false);
  const isScrolled = long && isOpen;
  const shown = long && !isOpen ? shortened(text) : text;
  const size = sizeOf(text);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isScrolled) box.current?.focus({ preventScroll: true });
  }, [isScrolled]);
  return (
    <div class="block">
      <h3>
        {name} <span class="size">{size}</span>
      </h3>
      <div
        ref={box}
        {...(isScrolled
          ? { class: 'code scrolls', tabIndex: 0, role: 'group', 'aria-label': name }
          : { class: 'code' })}
      >
        <Rows text={shown} isDiff={isDiff} />
        {long && !isOpen && (
          <div class="more">
            {words.request.more(linesOf(text) - linesOf(shown), words.characters([...text].length))}
          </div>
        )}
        {isScrolled && <End text={words.request.end(name)} onSeen={onRead} />}
      </div>
      {long && (
        <button type="button" class="quiet wide" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? words.request.collapse : words.request.showAll(size)}
        </button>
      )}
    </div>
  );
}

/** Says once that it was on the screen. */
function End({ text, onSeen }: { text: string; onSeen: () => void }) {
  const mark = useRef<HTMLDivElement>(null);
  const seen = useRef(onSeen);
  seen.current = onSeen;
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      seen.current();
    });
    if (mark.current !== null) observer.observe(mark.current);
    return () => observer.disconnect();
  }, []);
  return (
    <div class="end" ref={mark}>
      {text}
    </div>
  );
}

interface Row {
  readonly number: number | undefined;
  readonly text: string;
  readonly kind: '' | 'added' | 'removed' | 'skipped';
}

function Rows({ text, isDiff }: { text: string; isDiff: boolean }) {
  const rows = useMemo(() => rowsOf(text, isDiff), [text, isDiff]);
  return (
    <>
      {rows.map((row, index) => (
        <div key={index} class={`row ${row.kind}`} data-line={row.number}>
          {row.text === '' ? '\u00a0' : row.text}
        </div>
      ))}
    </>
  );
}

function rowsOf(text: string, isDiff: boolean): Row[] {
  const lines = text.split('\n');
  if (lines.length > MOST_ROWS) return [{ number: undefined, text: visibleText(text), kind: '' }];
  const rows: Row[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const empty = emptyFrom(lines, at);
    if (empty >= MANY_EMPTY) {
      rows.push({ number: undefined, text: words.request.emptyLines(empty, at + 1, at + empty), kind: 'skipped' });
      at += empty - 1;
    } else {
      rows.push({ number: at + 1, text: visibleText(line), kind: isDiff ? diffKind(line) : '' });
    }
  }
  return rows;
}

function emptyFrom(lines: readonly string[], at: number): number {
  let end = at;
  while (end < lines.length && /^[ \t]*$/.test(lines[end] ?? '')) end++;
  return end - at;
}

function diffKind(line: string): Row['kind'] {
  if (/^(\+\+\+|---)/.test(line)) return '';
  return line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : '';
}
