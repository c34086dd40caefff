import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { RunningCommand } from '../shown.ts';
import { describeSpan } from './format.ts';
import { Keyboard, withControl } from './keyboard.ts';
import { Terminal } from './output.tsx';
import { Fault, useDesk, useNow, useOrder, useScreen } from './parts.tsx';
import type { OpenTerminal } from './terminal.ts';
import { words } from './words.ts';

/** One hold on a terminal: the keyboard of this page, what is on its way there, and why it ended. */
function useKeyboard({ session, typist }: RunningCommand) {
  const desk = useDesk();
  const [keyboard, setKeyboard] = useState<Keyboard>();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const current = useRef<Keyboard | undefined>(undefined);
  current.current = keyboard;
  const opening = useRef<Promise<Keyboard | string>>(undefined);
  const wasSeen = useRef(false);
  const leave = (why?: string): void => {
    current.current?.close();
    wasSeen.current = false;
    setKeyboard(undefined);
    setFault(why);
  };
  const take = async (): Promise<boolean> => {
    setBusy(true);
    setFault(undefined);
    const wish = { session, from: typist?.order ?? null };
    const onFault = (why: string, hasEnded: boolean): void => (hasEnded ? leave(why) : setFault(why));
    opening.current = Keyboard.open(wish, () => desk.now(), { onFault });
    const opened = await opening.current;
    setBusy(false);
    if (typeof opened === 'string') setFault(opened);
    else {
      current.current = opened;
      setKeyboard(opened);
    }
    opening.current = undefined;
    return typeof opened !== 'string';
  };
  const handBack = async (): Promise<void> => {
    const why = await keyboard?.end();
    leave(why);
  };
  // The agent has ended it, or somebody else has taken it.
  useEffect(() => {
    if (keyboard === undefined) return;
    if (typist?.order === keyboard.order) wasSeen.current = true;
    else if (wasSeen.current) leave(words.takeOver.ended);
  }, [keyboard, typist?.order]);
  // With the page, or with what shows the terminal, it ends as well: also one that the agent is still giving.
  useEffect(() => {
    const end = async (): Promise<void> => {
      const held = current.current ?? (await opening.current);
      if (held instanceof Keyboard) await held.end();
    };
    addEventListener('pagehide', end);
    const stay = desk.beforeSignOut(end);
    return () => {
      removeEventListener('pagehide', end);
      stay();
      void end();
    };
  }, [desk]);
  return { keyboard, isBusy, fault, take, handBack };
}

/** The screen of a session that has a terminal, and how a person takes it over. */
export function TakeOver({ one }: { one: RunningCommand }) {
  const { person, state } = useScreen();
  const now = useNow();
  const [terminal, setTerminal] = useState<OpenTerminal>();
  const [isAsking, setAsking] = useState(false);
  const { keyboard, isBusy, fault, take, handBack } = useKeyboard(one);
  const { send } = useOrder();
  const { takeOver } = words;
  const { typist } = one;
  const other = keyboard === undefined ? typist : null;
  const mayTake = person?.passkey === true && state?.frozen == null && one.rows !== null;
  return (
    <>
      <Terminal session={one.session} rows={one.rows} cols={one.cols} onOpen={setTerminal} />
      <Fault text={fault} />
      {other !== null && (
        <p class="notice" role="status">
          {takeOver.other(visibleLine(other.by), describeSpan(now - other.since))}{' '}
          <button type="button" class="quiet" onClick={() => void send({ kind: 'hand-back', session: one.session })}>
            {takeOver.handBack}
          </button>
        </p>
      )}
      {keyboard !== undefined && terminal !== undefined && (
        <Keys keyboard={keyboard} terminal={terminal} onHandBack={() => void handBack()} />
      )}
      {keyboard === undefined && mayTake && !isAsking && (
        <button type="button" onClick={() => setAsking(true)}>
          {takeOver.button}
        </button>
      )}
      {keyboard === undefined && mayTake && isAsking && (
        <section class="notice" aria-label={takeOver.title}>
          <h3>{takeOver.title}</h3>
          <p>{takeOver.reads}</p>
          <p>{takeOver.kept}</p>
          <div class="actions">
            <button
              type="button"
              class="primary"
              disabled={isBusy}
              onClick={() => void take().then((isDone) => isDone && setAsking(false))}
            >
              {isBusy ? words.request.signing : other === null ? takeOver.now : takeOver.from}
            </button>
            <button type="button" class="quiet" disabled={isBusy} onClick={() => setAsking(false)}>
              {words.cancel}
            </button>
          </div>
        </section>
      )}
    </>
  );
}

/** Keys that a phone has not: their names, and what they type; those of the cursor depend on the program. */
const KEYS = [
  ['Esc', '\x1b'],
  ['Tab', '\t'],
  ['Enter', '\r'],
  ['Ctrl-C', '\x03'],
  ['↑', 'A'],
  ['↓', 'B'],
  ['←', 'D'],
  ['→', 'C'],
] as const;

interface KeysProps {
  readonly keyboard: Keyboard;
  readonly terminal: OpenTerminal;
  readonly onHandBack: () => void;
}

/** What a person types with: the terminal itself, a line, and keys that a phone has not. */
function Keys({ keyboard, terminal, onHandBack }: KeysProps) {
  const [isControl, setControl] = useState(false);
  const control = useRef(false);
  control.current = isControl;
  const type = (text: string): void => {
    keyboard.type(control.current ? withControl(text) : text);
    setControl(false);
  };
  useEffect(() => {
    const end = terminal.listen(type);
    terminal.focus();
    return end;
  }, [keyboard, terminal]);
  const { takeOver } = words;
  return (
    <div class="keys" role="group" aria-label={takeOver.keys}>
      <p role="status">{takeOver.typing}</p>
      <Line onSend={(text) => type(text)} isControl={isControl} />
      <div class="row-of-keys">
        <button type="button" aria-pressed={isControl} onClick={() => setControl(!isControl)}>
          Ctrl
        </button>
        {KEYS.map(([name, text]) => (
          <button
            key={name}
            type="button"
            aria-label={takeOver.names[name] ?? name}
            onClick={() => type(/^[A-D]$/.test(text) ? terminal.cursorKey(text) : text)}
          >
            {name}
          </button>
        ))}
      </div>
      <div class="actions">
        <button type="button" class="primary" onClick={onHandBack}>
          {takeOver.handBack}
        </button>
        <button type="button" onClick={() => keyboard.resize(terminal.fitting())}>
          {takeOver.fit}
        </button>
      </div>
      <p class="muted">{takeOver.help}</p>
    </div>
  );
}

/** A line that is typed whole: the keyboards of phones change what was typed before. */
function Line({ onSend, isControl }: { onSend: (text: string) => void; isControl: boolean }) {
  const [line, setLine] = useState('');
  const [isHidden, setHidden] = useState(false);
  const { takeOver } = words;
  return (
    <form
      class="line-of-keys"
      onSubmit={(event) => {
        event.preventDefault();
        onSend(`${line}\r`);
        setLine('');
      }}
    >
      <input
        type="text"
        class={isHidden ? 'hidden-text' : ''}
        value={line}
        aria-label={takeOver.line}
        placeholder={takeOver.line}
        autocomplete="off"
        autocapitalize="none"
        autocorrect="off"
        spellcheck={false}
        enterkeyhint="send"
        onInput={(event) => {
          const { value } = event.currentTarget;
          if (isControl) {
            onSend(value.slice(-1));
            event.currentTarget.value = line;
          } else setLine(value);
        }}
      />
      <button type="button" aria-pressed={isHidden} onClick={() => setHidden(!isHidden)}>
        {takeOver.hide}
      </button>
      <button type="submit">{takeOver.send}</button>
    </form>
  );
}
