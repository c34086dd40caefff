import type { Gauges } from '../../src/http/metrics.ts';

/** The gauges of an agent that does nothing. */
export const NO_GAUGES: Gauges = {
  running: () => 0,
  queued: () => 0,
  unapproved: () => 0,
  frozen: () => 0,
  sessions: () => 0,
  sessionBytes: () => 0,
};
