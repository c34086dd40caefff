import { describe } from 'bun:test';
import { prepareHost } from './host.ts';
import { imageIsBuilt } from './image.ts';

const obstacle = prepareHost(imageIsBuilt);
if (obstacle !== undefined) {
  // In CI a machine that cannot be booted is a failure: nothing would have been tested.
  if (process.env['CI'] === 'true') throw new Error(`no machine can be booted: ${obstacle}`);
  console.error(`vm: skipped, no machine can be booted: ${obstacle}`);
}

/** A group of tests in a machine of their own; skipped, with a line that says why, where none can be booted. */
export const describeVm: (name: string, tests: () => void) => void = obstacle === undefined ? describe : describe.skip;
