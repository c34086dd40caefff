import { closeSync, fstatSync, writeSync } from 'node:fs';
import type { OpenInput } from '../diagnosis/waiting.ts';
import { errnoOf } from '../lib/errors.ts';
import { incompleteTail } from '../lib/utf8.ts';

/** The standard input of a command that stays open: clients type into it while it runs. */
export interface CommandInput {
  readonly what: OpenInput;
  /**
   * Writes bytes and returns how many were accepted: fewer when the command reads too slowly, 0 when the input is
   * closed. Text is cut between characters, so that the rest can be sent again.
   */
  write(bytes: Uint8Array, isText: boolean): number;
  /** The end of the input: a reader sees end of file. */
  close(): void;
  readonly isOpen: boolean;
  /** Closes everything that it holds. */
  release(): void;
}

/** A write of so many bytes to a pipe that does not block is done whole or not at all. Source: PIPE_BUF, pipe(7). */
const WHOLE_WRITE_BYTES = 4096;

/** A pipe whose writing end belongs to the agent and does not block. It closes the descriptor. */
export class PipeInput implements CommandInput {
  readonly what: OpenInput;
  #open = true;

  constructor(private readonly writing: number) {
    this.what = { kind: 'pipe', inode: fstatSync(writing).ino };
  }

  get isOpen(): boolean {
    return this.#open;
  }

  write(bytes: Uint8Array, isText: boolean): number {
    let taken = 0;
    while (this.#open && taken < bytes.length) {
      const part = bytes.subarray(taken, taken + WHOLE_WRITE_BYTES);
      const count = this.#writeSome(isText ? part.subarray(0, part.length - incompleteTail(part)) : part);
      if (count === 0) break;
      taken += count;
    }
    return taken;
  }

  #writeSome(bytes: Uint8Array): number {
    try {
      return writeSync(this.writing, bytes);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      // EPIPE: nobody has the reading end open.
      this.close();
      return 0;
    }
  }

  release(): void {
    this.close();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.writing);
  }
}
