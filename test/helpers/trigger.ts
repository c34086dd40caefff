import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { TemporaryDirectory } from './directories.ts';
import { eventually } from './waiting.ts';

/** Lets a test and a command wait for each other, by files. */
export class Trigger implements Disposable {
  readonly #directory = new TemporaryDirectory();

  readonly #arrived = this.#directory.join('arrived');
  /** Shell words that tell the test that the command has come so far, and in which session. */
  readonly arrive = `{ echo $AGENT3_SESSION > ${this.#arrived}.new; mv ${this.#arrived}.new ${this.#arrived}; }`;
  /** Shell words that hold the command until the test calls `open`. */
  readonly wait = `until [ -e ${this.#directory.join('open')} ]; do sleep 0.02; done`;

  /** Resolves with the command's session when it has run `arrive`. */
  async arrived(): Promise<string> {
    await eventually('the command arrives', () => existsSync(this.#arrived));
    return readFileSync(this.#arrived, 'utf8').trim();
  }

  open(): void {
    writeFileSync(this.#directory.join('open'), '');
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}
