/** The agent cannot start. `reasons` are sentences for the owner. Exit code 1: a failure; 2: a wrong setting. */
export class StartupFault extends Error {
  readonly reasons: readonly string[];

  constructor(
    readonly exitCode: 1 | 2,
    ...reasons: readonly string[]
  ) {
    super(reasons.join('\n'));
    this.reasons = reasons;
  }
}
