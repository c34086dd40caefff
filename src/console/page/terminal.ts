import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

interface OpenTerminal {
  readonly write: (bytes: Uint8Array) => void;
  readonly close: () => void;
}

/** The size of a session's terminal; null where the agent does not know it. */
export interface ShownSize {
  readonly rows: number | null;
  readonly cols: number | null;
}

/** What a session with a terminal has, unless its call says otherwise. */
const [ROWS, COLUMNS] = [24, 120] as const;
const LINES_KEPT = 1000;

/** Draws a terminal that only shows: no key and no answer of it reaches the session. */
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
  return { write: (bytes) => terminal.write(bytes), close: () => terminal.dispose() };
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
