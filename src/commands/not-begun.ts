import { closeSync } from 'node:fs';
import { visibleLine } from '../lib/visible.ts';
import { hasBegun } from '../process/beginning.ts';
import type { Outcome } from '../process/outcome.ts';
import { describeFailure } from '../sandbox/sandbox.ts';
import type { Session } from '../sessions/session.ts';
import { forgetProbes } from './confinement.ts';

/** The least exit code that may mean a signal: then nobody can say whether the command had begun. */
const SIGNALLED = 128;

/**
 * Why a confined command that is over has never begun: chroot(1), prlimit(1) or bwrap(1) failed. Undefined when it has.
 * `status` tells (`hasBegun`); this closes it. What a command itself writes or returns has no say.
 */
export function whyNotBegun(session: Session, { reason, exitCode }: Outcome, status: number): string | undefined {
  try {
    if (reason !== 'exited' || exitCode === null || exitCode >= SIGNALLED || hasBegun(status)) return undefined;
  } finally {
    closeSync(status);
  }
  forgetProbes();
  const { cwd, input } = session.record;
  const words = endOf(session, input === 'terminal' ? 'stdout' : 'stderr');
  if (/^bwrap: Can't chdir to [^\n]*$/m.test(words))
    return `there is no directory ${JSON.stringify(cwd.slice(0, 200))} for the commands of this token (their /tmp, /var/tmp and /run begin empty, and some directories are hidden). Call shell again with another cwd`;
  return visibleLine(describeFailure(words));
}

const TAIL_BYTES = 2000;

function endOf(session: Session, name: 'stdout' | 'stderr'): string {
  const stream = session.stream(name);
  return Buffer.from(stream.read(Math.max(0, stream.size - TAIL_BYTES), TAIL_BYTES)).toString();
}
