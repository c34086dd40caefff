/** What a line of the record can tell of. */
export const EVENTS = [
  'start',
  'end',
  'decision',
  'operation',
  'output',
  'login',
  'agent',
  'recovered',
  'tampered',
] as const;

/** The options that the subcommands of `audit` share. */
export interface AuditOptions {
  readonly file?: string;
}

/** How a record is checked. */
export interface VerifyArguments extends AuditOptions {
  /** Older files that logrotate keeps. */
  readonly kept: number;
  /** A record whose seals cannot be checked is none that is whole. */
  readonly requireKey?: true;
}

/** Which lines are wanted. Times are milliseconds since the epoch. */
export interface AuditFilter extends AuditOptions {
  readonly token?: string;
  readonly session?: string;
  readonly event?: (typeof EVENTS)[number];
  readonly since?: number;
  readonly until?: number;
  readonly json?: true;
}
