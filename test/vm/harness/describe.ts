import { describe } from 'bun:test';
import { prepareHost } from './host.ts';
import { imageIsBuilt } from './image.ts';
import type { Suite } from './recipe.ts';

/**
 * A group of tests in a machine of their own; skipped, with a line that says why, where none can be booted. In CI that
 * is a failure: nothing would have been tested.
 */
export function describeVm(name: string, tests: () => void, suite: Suite = 'bookworm'): void {
  const obstacle = prepareHost(() => imageIsBuilt(suite));
  if (obstacle === undefined) {
    describe(name, tests);
    return;
  }
  if (process.env['CI'] === 'true') throw new Error(`no machine can be booted: ${obstacle}`);
  console.error(`vm: skipped, no machine can be booted: ${obstacle}`);
  describe.skip(name, tests);
}
