import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

export interface OpenTerminal {
  readonly write: (bytes: Uint8Array) => void;
  readonly reset: () => void;
  readonly close: () => void;
  /** Draws it in another size; null changes nothing. */
  readonly resize: (size: ShownSize) => void;
  /** Calls `onKeys` with what a person types into it, until the returned function is called. */
  readonly listen: (onKeys: (text: string) => void) => () => void;
  readonly focus: () => void;
  /** What a key of the cursor types, of which `A` is up: programs choose. */
  readonly cursorKey: (letter: string) => string;
  /** The size that fits the window. */
  readonly fitting: () => ShownSize;
}

/** The size of a session's terminal; null where the agent does not know it. */
export interface ShownSize {
  readonly rows: number | null;
  readonly cols: number | null;
}

/** What a session with a terminal has, unless its call says otherwise. */
const [ROWS, COLUMNS] = [24, 120] as const;
const LINES_KEPT = 1000;

/** Draws a terminal that only shows until somebody listens. None of its own answers to a program ever reaches the session. */
export function openTerminal(box: HTMLElement, size: ShownSize): OpenTerminal {
  obeyPolicy();
  const terminal = new Terminal({
    rows: size.rows ?? ROWS,
    cols: size.cols ?? COLUMNS,
    scrollback: LINES_KEPT,
    disableStdin: true,
    screenReaderMode: true,
    fontSize: 13,
    fontFamily: 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace',
    theme: { background: '#10181b', foreground: '#e4ecee' },
    linkHandler: { activate: () => {} },
  });
  terminal.open(box);
  keepSilent(terminal);
  // Tab is the program's: a keyboard leaves it by the other way.
  terminal.attachCustomKeyEventHandler((event) => !(event.key === 'Tab' && event.shiftKey));
  return {
    write: (bytes) => terminal.write(bytes),
    reset: () => terminal.reset(),
    close: () => terminal.dispose(),
    resize: ({ rows, cols }) => {
      if (rows !== null && cols !== null) terminal.resize(cols, rows);
    },
    listen: (onKeys) => {
      terminal.options.disableStdin = false;
      const typed = terminal.onData((text) => {
        if (!FOCUS_REPORTS.includes(text)) onKeys(text);
      });
      return () => {
        terminal.options.disableStdin = true;
        typed.dispose();
      };
    },
    focus: () => terminal.focus(),
    cursorKey: (letter) => `\x1b${terminal.modes.applicationCursorKeysMode ? 'O' : '['}${letter}`,
    fitting: () => fittingSize(box, terminal),
  };
}

/** What a terminal says when it is looked at, and no longer, to programs that want to know. */
const FOCUS_REPORTS = ['\x1b[I', '\x1b[O'];

/** Questions of a program that a terminal answers as if somebody had typed: what it is, where its cursor is, how it is set. */
const QUESTIONS = [
  ...['c', 'n', 't'].map((final) => ({ final })),
  ...['c', 'q'].map((final) => ({ prefix: '>', final })),
  ...['c', 'n'].map((final) => ({ prefix: '?', final })),
  { prefix: '=', final: 'c' },
  { intermediates: '$', final: 'p' },
  { prefix: '?', intermediates: '$', final: 'p' },
];
const COLOURS = [4, 10, 11, 12];

/** Has a terminal answer no question: the output of a hostile program must not type. */
function keepSilent({ parser }: Terminal): void {
  for (const question of QUESTIONS) parser.registerCsiHandler(question, () => true);
  parser.registerDcsHandler({ intermediates: '$', final: 'q' }, () => true);
  for (const colour of COLOURS) parser.registerOscHandler(colour, (text) => text.includes('?'));
}

const [LEAST_COLUMNS, LEAST_ROWS, MOST_ROWS] = [20, 8, 60] as const;

function fittingSize(box: HTMLElement, { rows, cols }: Terminal): ShownSize {
  const screen = box.querySelector('.xterm-screen')?.getBoundingClientRect();
  if (screen === undefined || screen.width === 0) return { rows, cols };
  const { paddingLeft, paddingRight } = getComputedStyle(box);
  const width = box.clientWidth - Number.parseFloat(paddingLeft) - Number.parseFloat(paddingRight);
  // The rest is for the keys, and for the keyboard of a phone.
  const height = window.innerHeight / 3;
  return {
    cols: Math.max(LEAST_COLUMNS, Math.floor(width / (screen.width / cols))),
    rows: Math.min(MOST_ROWS, Math.max(LEAST_ROWS, Math.floor(height / (screen.height / rows)))),
  };
}

const createElement: (name: string, options?: ElementCreationOptions) => HTMLElement =
  document.createElement.bind(document);

/**
 * The terminal writes rules into `<style>` and `style=""`, which the policy of the page forbids. From here on the rules
 * become a style sheet of the document, and the attributes properties. Its option `documentOverride` is not enough: parts
 * of it use the global document.
 */
function obeyPolicy(): void {
  document.createElement = (name: string, options?: ElementCreationOptions) => {
    if (name === 'style') return sheetHolder();
    const element = createElement(name, options);
    if (name !== 'span') return element;
    element.setAttribute = (attribute: string, value: string) => {
      if (attribute === 'style') element.style.cssText = value;
      else Element.prototype.setAttribute.call(element, attribute, value);
    };
    return element;
  };
}

/** An element that shows nothing; the text that it is given is a style sheet until it is removed. */
function sheetHolder(): HTMLElement {
  const element = createElement('span');
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, 'textContent', { set: (rules: string) => void sheet.replaceSync(rules) });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    remove();
  };
  return element;
}
