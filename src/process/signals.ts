/** Signals that a client may send, without the prefix SIG. */
export const SIGNALS = ['TERM', 'KILL', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'STOP', 'CONT'] as const;
export type SignalName = (typeof SIGNALS)[number];

/** Signals that ask a command to end: if it then ends by one of them, it was stopped on request. */
const ENDING: ReadonlySet<SignalName> = new Set(['TERM', 'KILL', 'INT', 'HUP', 'QUIT']);

/** Whether `signal` asks a command to end. */
export function asksToEnd(signal: SignalName): boolean {
  return ENDING.has(signal);
}
