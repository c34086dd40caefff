import { closeSync } from 'node:fs';

/** Open descriptors with one owner, who closes all of them. */
export class Descriptors implements Disposable {
  readonly #open = new Set<number>();

  /** Takes over a descriptor, and gives it back. */
  add(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  /** Closes one of them before the others. */
  close(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /** Gives one of them to the caller, who closes it from now on. */
  take(fd: number): number {
    this.#open.delete(fd);
    return fd;
  }

  /** Gives all of them to the caller, who closes them from now on. */
  release(): number[] {
    const all = [...this.#open];
    this.#open.clear();
    return all;
  }

  [Symbol.dispose](): void {
    for (const fd of this.release()) closeSync(fd);
  }
}
