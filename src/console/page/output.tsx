import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleText } from '../../lib/visible.ts';
import type { Stream } from '../shown.ts';
import { describeBytes } from './format.ts';
import { useDesk } from './parts.tsx';
import { words } from './words.ts';

/** So much of a live output stays on the page. */
const KEPT_CHARS = 262_144;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[=>])/g;

/** What a program wrote, for a reader: colours are left out, what else would act or hide is written out; tabs stay. */
function outputText(text: string): string {
  const lines = text.replace(SEQUENCES, '').replaceAll('\r\n', '\n');
  return lines.split('\t').map(visibleText).join('\t');
}

/** Live output of a session as text; `name` is its command. */
export function Output({ session, name }: { session: string; name: string }) {
  const desk = useDesk();
  const box = useRef<HTMLPreElement>(null);
  const [isEmpty, setEmpty] = useState(true);
  useEffect(() => {
    const pre = box.current;
    if (pre === null) return;
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    let chars = 0;
    const append = (text: string, kind: string): void => {
      const isAtEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
      const span = document.createElement('span');
      span.className = kind;
      span.textContent = text;
      pre.append(span);
      chars += text.length;
      while (chars > KEPT_CHARS && pre.firstChild !== pre.lastChild) {
        chars -= pre.firstChild?.textContent?.length ?? 0;
        pre.firstChild?.remove();
      }
      if (isAtEnd) pre.scrollTop = pre.scrollHeight;
    };
    return desk.follow(session, {
      write: (stream: Stream, bytes: Uint8Array, skipped: number) => {
        setEmpty(false);
        if (skipped > 0) append(`\n${words.views.leftOut(describeBytes(skipped))}\n`, 'gap');
        append(outputText(decoders[stream].decode(bytes, { stream: true })), stream);
      },
    });
  }, [desk, session]);
  return (
    <>
      {isEmpty && <p class="muted">{words.views.noOutput}</p>}
      <pre
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

/** The screen of a session that has a terminal. Nothing can be typed into it. */
export function Terminal({ session }: { session: string }) {
  const desk = useDesk();
  const box = useRef<HTMLDivElement>(null);
  const [isLoading, setLoading] = useState(true);
  useEffect(() => {
    const cleanups: (() => void)[] = [];
    let isOver = false;
    void import('./terminal.ts').then(({ openTerminal }) => {
      if (isOver || box.current === null) return;
      setLoading(false);
      const terminal = openTerminal(box.current);
      const end = desk.follow(session, { write: (_, bytes) => terminal.write(bytes) });
      cleanups.push(end, terminal.close);
    });
    return () => {
      isOver = true;
      for (const cleanup of cleanups) cleanup();
    };
  }, [desk, session]);
  return (
    <>
      {isLoading && <p class="muted">{words.loading}</p>}
      <div ref={box} class="terminal" />
    </>
  );
}
