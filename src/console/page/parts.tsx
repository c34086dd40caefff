import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useContext, useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';
import type { Desk, Screen } from './desk.ts';
import { placed } from './servers.ts';
import { order, sendEach, type Wish } from './sign.ts';

const Shared = createContext<Desk | undefined>(undefined);

export const DeskProvider = Shared.Provider;

export function useDesk(): Desk {
  const desk = useContext(Shared);
  if (desk === undefined) throw new Error('outside of the desk');
  return desk;
}

/** What the views show; the component is drawn again when it changes. */
export function useScreen(): Screen {
  const desk = useDesk();
  const [, draw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => desk.listen(() => draw(undefined)), [desk]);
  return desk.screen;
}

/** The time of the server, each second. */
export function useNow(): number {
  const desk = useDesk();
  const [now, setNow] = useState(desk.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(desk.now()), 1000);
    return () => clearInterval(timer);
  }, [desk]);
  return now;
}

/** An order, and what the server is called that it is for. */
export interface PlacedWish {
  readonly place: string | undefined;
  readonly wish: Wish;
}

/** Sends orders one at a time; says whether one is on its way, and why the last one was not done. */
export function useOrder() {
  const desk = useDesk();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const send = async (wish: Wish): Promise<boolean> => {
    setBusy(true);
    setFault(undefined);
    const why = await order(wish, desk.now());
    setBusy(false);
    setFault(why);
    return why === undefined;
  };
  /** Orders to several servers that need no signature; why not, with the name of each that was not reached. */
  const sendAll = async (all: readonly PlacedWish[]): Promise<boolean> => {
    setBusy(true);
    setFault(undefined);
    const faults: string[] = [];
    await sendEach(all, async ({ wish, place }) => {
      const why = await order(wish, desk.now());
      if (why !== undefined) faults.push(placed(place, why));
    });
    setBusy(false);
    setFault(faults.length === 0 ? undefined : faults.join('\n'));
    return faults.length === 0;
  };
  return { isBusy, fault, send, sendAll };
}

/** A reading that failed is tried again after this. */
const RETRY_MS = 2000;

/** Returns what `reading` resolves to, once it does; it is tried again until then. A new `reading` is read as well. */
export function useRead<T>(reading: () => Promise<T>): { readonly read: T | undefined; readonly failed: boolean } {
  const [read, setRead] = useState<T>();
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    reading().then(
      (value) => !isOver && setRead(() => value),
      () => {
        if (!isOver) timer = setTimeout(() => setTries(tries + 1), RETRY_MS);
      },
    );
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [reading, tries]);
  return { read, failed: tries > 0 };
}

/** At a step after the first, what is shown has the focus: what had it before is gone. */
export function useStepFocus(step: unknown): void {
  const shown = useRef(step);
  useLayoutEffect(() => {
    if (shown.current === step) return;
    shown.current = step;
    document.getElementById('content')?.focus();
  }, [step]);
}

/** Says why something was not done. */
export function Fault({ text }: { text: string | undefined }) {
  return (
    <p class="fault" role="alert" hidden={text === undefined}>
      {text}
    </p>
  );
}

const ARMED_MS = 5000;

interface TwoTapProps {
  readonly text: string;
  readonly label: string;
  readonly confirm: string;
  readonly confirmLabel: string;
  readonly disabled: boolean;
  readonly onConfirm: () => void;
}

/** A button that acts when it is pressed a second time within a few seconds. */
export function TwoTap({ text, label, confirm, confirmLabel, disabled, onConfirm }: TwoTapProps) {
  const [isArmed, setArmed] = useState(false);
  useEffect(() => {
    if (!isArmed) return;
    const timer = setTimeout(() => setArmed(false), ARMED_MS);
    return () => clearTimeout(timer);
  }, [isArmed]);
  const press = (): void => {
    setArmed(!isArmed);
    if (isArmed) onConfirm();
  };
  return (
    <button
      type="button"
      class={isArmed ? 'danger' : ''}
      aria-label={isArmed ? confirmLabel : label}
      disabled={disabled}
      onBlur={() => setArmed(false)}
      onClick={press}
    >
      {isArmed ? confirm : text}
    </button>
  );
}

/** A name and its value, in a list of facts. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/**
 * The heading of a view or a part of it. It takes the focus when the focused element below it is removed, so a keyboard
 * continues from there. `count` is the number of entries.
 */
export function KeptHeading({ text, count, level }: { text: string; count: number; level: 1 | 2 }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const had = useRef(false);
  useEffect(() => {
    const note = (event: FocusEvent): void => {
      had.current = event.target instanceof Node && (heading.current?.parentElement?.contains(event.target) ?? false);
    };
    addEventListener('focusin', note);
    return () => removeEventListener('focusin', note);
  }, []);
  // At once: a keyboard that has lost its place for a moment has lost it.
  useLayoutEffect(() => {
    if (had.current && document.activeElement === document.body) heading.current?.focus();
  }, [count]);
  const Level = level === 1 ? 'h1' : 'h2';
  return (
    <Level tabIndex={-1} ref={heading}>
      {text}
    </Level>
  );
}
