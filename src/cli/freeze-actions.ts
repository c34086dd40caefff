import { readFreezes } from '../access/freeze.ts';
import type { RootActions } from '../console/obey.ts';
import { describeUnwritten, freezeServer, thawServer } from '../install/freezing.ts';

const DECISIONS =
  'the agent has no directory of decisions. Set AGENT3_APPROVALS_DIR to a directory that only root may write to, and restart the agent';

/**
 * How root freezes and thaws by an order. `decisions` is the directory that it writes to, `origin` where the agent listens;
 * undefined: nobody waits until it has seen that.
 */
export function freezeActions(
  decisions: string | undefined,
  origin: string | undefined,
): Pick<RootActions, 'freeze' | 'lastFreeze' | 'thaw'> {
  const directory = (): string => {
    if (decisions === undefined) throw new Error(DECISIONS);
    return decisions;
  };
  return {
    freeze: async ({ reason }, by) => {
      const fault = describeUnwritten(await freezeServer({ decisions: directory(), by, origin }, reason));
      if (fault !== undefined) throw new Error(fault);
    },
    lastFreeze: () => readFreezes(directory()).at(-1),
    thaw: (signature, by) => {
      thawServer({ decisions: directory(), by, origin }, signature);
    },
  };
}
