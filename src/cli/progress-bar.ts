import { note } from '../client/attend.ts';
import { visibleText } from '../lib/visible.ts';

/** How often the bar is drawn. */
const DRAW_MS = 100;
const USUAL_COLUMNS = 80;
const BAR_CHARS = 20;
const NAME_CHARS = 30;

/** Shows on one line of a terminal how much of a file has been copied, how fast, and how long the rest takes. */
export class ProgressBar implements Disposable {
  readonly #isShown: boolean;
  #name = '';
  #startedMs = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  constructor(isQuiet: boolean) {
    this.#isShown = !isQuiet && process.stderr.isTTY === true;
  }

  /** Starts the next file. */
  readonly begin = (name: string): void => {
    this.end();
    this.#name = visibleText(name);
    this.#startedMs = performance.now();
    this.#drawnMs = Number.NEGATIVE_INFINITY;
  };

  /** Sets how many bytes of the file have been copied. */
  readonly show = (passed: number, bytes: number): void => {
    const now = performance.now();
    if (!this.#isShown || (now - this.#drawnMs < DRAW_MS && passed < bytes)) return;
    this.#drawnMs = now;
    this.#isDrawn = true;
    const columns = process.stderr.columns ?? USUAL_COLUMNS;
    const line = barLine(this.#name, passed, bytes, (now - this.#startedMs) / 1000);
    process.stderr.write(`\r${line.slice(0, columns - 1).padEnd(columns - 1)}`);
  };

  /** Prints a message on a line of its own. */
  say(text: string): void {
    this.end();
    note(text);
  }

  /** Ends the line of the bar. */
  end(): void {
    if (this.#isDrawn) process.stderr.write('\n');
    this.#isDrawn = false;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

/** The text of the bar: `site.tgz  42 % [########            ] 1.2 GiB  310 MiB/s  0:07`. */
export function barLine(name: string, passed: number, bytes: number, seconds: number): string {
  const part = bytes === 0 ? 1 : passed / bytes;
  const filled = Math.round(part * BAR_CHARS);
  const bar = `[${'#'.repeat(filled)}${' '.repeat(BAR_CHARS - filled)}]`;
  const speed = seconds > 0 ? passed / seconds : 0;
  const left = speed > 0 ? Math.round((bytes - passed) / speed) : 0;
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
  const shown = name.length > NAME_CHARS ? `…${name.slice(1 - NAME_CHARS)}` : name;
  return `${shown}  ${Math.floor(part * 100)} % ${bar} ${sizeText(passed)}  ${sizeText(speed)}/s  ${clock}`;
}

function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[power]}`;
}
