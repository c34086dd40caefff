import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleText } from '../../lib/visible.ts';
import type { Stream } from '../shown.ts';
import { describeBytes } from './format.ts';
import { useDesk } from './parts.tsx';
import type { OpenTerminal, ShownSize } from './terminal.ts';
import { words } from './words.ts';

/** So much of a live output stays on the page. */
const KEPT_CHARS = 131_072;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[=>])/g;

/** What a program wrote, for a reader: colours are left out, what else would act or hide is written out; tabs stay. */
export function outputText(text: string): string {
  const lines = text.replace(SEQUENCES, '').replaceAll('\r\n', '\n');
  return lines.split('\t').map(visibleText).join('\t');
}

/** Most bytes shown of a piece that follows skipped output: nobody can read more at that speed. */
const RUSHED_BYTES = 8192;

/**
 * Writes what comes into an element, whole lines together as one block, and keeps the last of it. Returns how to add a
 * text of a kind, which is a class.
 */
export function writerInto(box: HTMLElement): (text: string, kind: string) => void {
  let chars = 0;
  /** The block whose last line may be incomplete. */
  let open: HTMLElement | undefined;
  const blockOf = (kind: string): HTMLElement => {
    if (open?.className === kind) return open;
    open = document.createElement('div');
    open.className = kind;
    box.append(open);
    return open;
  };
  const add = (text: string, kind: string): void => {
    blockOf(kind).append(text);
    chars += text.length;
  };
  return (text, kind) => {
    // What is hidden has no size, and could not be scrolled to its end.
    box.hidden = false;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const end = text.lastIndexOf('\n');
    if (end !== -1) {
      add(text.slice(0, end), kind);
      open = undefined;
    }
    if (end + 1 < text.length) add(text.slice(end + 1), kind);
    while (chars > KEPT_CHARS && box.firstChild !== box.lastChild) {
      chars -= box.firstChild?.textContent?.length ?? 0;
      box.firstChild?.remove();
    }
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  };
}

/** Live output of a session as text; `name` is its command. */
export function Output({ session, name }: { session: string; name: string }) {
  const desk = useDesk();
  const box = useRef<HTMLDivElement>(null);
  const [isEmpty, setEmpty] = useState(true);
  useEffect(() => {
    if (box.current === null) return;
    const write = writerInto(box.current);
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    return desk.follow(session, {
      write: (stream: Stream, bytes: Uint8Array, skipped: number) => {
        setEmpty(false);
        const rest = skipped > 0 ? Math.max(0, bytes.length - RUSHED_BYTES) : 0;
        if (skipped > 0) write(`${words.views.leftOut(describeBytes(skipped + rest))}\n`, 'gap');
        write(outputText(decoders[stream].decode(bytes.subarray(rest), { stream: true })), stream);
      },
    });
  }, [desk, session]);
  return <OutputBox box={box} isEmpty={isEmpty} name={name} />;
}

interface OutputBoxProps {
  readonly box: RefObject<HTMLDivElement | null>;
  readonly isEmpty: boolean;
  readonly name: string;
}

/** The element that `writerInto` writes into; what is said in its place while nothing has come. */
export function OutputBox({ box, isEmpty, name }: OutputBoxProps) {
  return (
    <>
      {isEmpty && <p class="muted">{words.views.noOutput}</p>}
      <div
        ref={box}
        class="output"
        hidden={isEmpty}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={words.views.outputOf(name)}
      />
    </>
  );
}

/** Columns from which a screen is wider than a phone. */
const WIDE_COLS = 41;

interface TerminalProps extends ShownSize {
  readonly session: string;
  /** Gets the terminal when it is drawn. */
  readonly onOpen: (terminal: OpenTerminal) => void;
}

/** The screen of a session that has a terminal. Nothing can be typed into it but what `onOpen` listens to. */
export function Terminal({ session, rows, cols, onOpen }: TerminalProps) {
  const desk = useDesk();
  // Of its beginning: when the terminal is closed, the agent does not know its size any more.
  const [size] = useState({ rows, cols });
  const opened = useRef<OpenTerminal | undefined>(undefined);
  const box = useRef<HTMLDivElement>(null);
  const [isLoading, setLoading] = useState(true);
  useEffect(() => {
    const cleanups: (() => void)[] = [];
    let isOver = false;
    void import('./terminal.ts').then(({ openTerminal }) => {
      if (isOver || box.current === null) return;
      setLoading(false);
      const terminal = openTerminal(box.current, size);
      opened.current = terminal;
      onOpen(terminal);
      const end = desk.follow(session, { write: (_, bytes) => terminal.write(bytes) });
      cleanups.push(end, terminal.close);
    });
    return () => {
      isOver = true;
      for (const cleanup of cleanups) cleanup();
    };
  }, [desk, session, size]);
  useEffect(() => opened.current?.resize({ rows, cols }), [rows, cols]);
  return (
    <>
      {isLoading && <p class="muted">{words.loading}</p>}
      <div ref={box} class="terminal" />
      {!isLoading && (cols ?? size.cols ?? WIDE_COLS) >= WIDE_COLS && (
        <p class="muted sideways">{words.views.sideways}</p>
      )}
    </>
  );
}
