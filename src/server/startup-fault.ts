/** The agent cannot start: `reasons` are sentences for the owner. Exit code 1: it failed; 2: a setting is wrong. */
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
