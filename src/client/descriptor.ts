import { write } from 'node:fs';
import { promisify } from 'node:util';
import { delay } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { OutputClosed, OutputFault } from './faults.ts';

const writeSome = promisify(write);

/** Pause after EAGAIN: another program may have made the descriptor non-blocking. */
const FULL_PAUSE_MS = 5;

/** Writes all of `bytes`, and waits for the reader. Throws `OutputClosed` when the reader has gone, else `OutputFault`. */
export async function writeAll(descriptor: number, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    try {
      // Not synchronous: Ctrl-C must work while a pager holds the output back.
      const { bytesWritten } = await writeSome(descriptor, bytes, written);
      written += bytesWritten;
    } catch (error) {
      if (errnoOf(error) === 'EPIPE') throw new OutputClosed('nobody reads the output any more');
      if (errnoOf(error) !== 'EAGAIN') throw new OutputFault(`the output cannot be written: ${describeErrno(error)}`);
      await delay(FULL_PAUSE_MS);
    }
  }
}
