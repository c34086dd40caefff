import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './debian.ts';
import { TemporaryDirectory } from './directories.ts';

/** A clock that tests move forward, for programs with its settings in their environment. It needs gcc. */
export class MovedClock implements Disposable {
  readonly #files = new TemporaryDirectory();
  #seconds = 0n;
  readonly settings: Readonly<Record<string, string>>;

  constructor() {
    const library = this.#files.join('clock.so');
    command(['gcc', '-O1', '-shared', '-fPIC', '-o', library, join(import.meta.dir, 'clock.c')]);
    this.settings = { LD_PRELOAD: library, TEST_CLOCK: this.#files.join('seconds') };
    writeFileSync(this.#files.join('seconds'), Buffer.alloc(8));
  }

  /** Milliseconds since the epoch, as the programs see it. */
  now(): number {
    return Date.now() + Number(this.#seconds) * 1000;
  }

  /** Moves it; back as well. */
  move(seconds: number): void {
    this.#seconds += BigInt(seconds);
    this.#write();
  }

  #write(): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(this.#seconds);
    // In place: the programs look at this very file.
    writeFileSync(this.#files.join('seconds'), bytes, { flag: 'r+' });
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}
