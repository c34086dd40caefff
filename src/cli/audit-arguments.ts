/** The options that the subcommands of `audit` share. */
export interface AuditOptions {
  readonly file?: string;
}

/** Which lines are wanted. Times are milliseconds since the epoch. */
export interface AuditFilter extends AuditOptions {
  readonly token?: string;
  readonly session?: string;
  readonly event?: string;
  readonly since?: number;
  readonly until?: number;
  readonly json?: true;
}
