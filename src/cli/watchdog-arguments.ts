/** The options as commander gives them. */
export interface WatchdogArguments {
  readonly once?: true;
  readonly unit: string;
  readonly log: string;
  readonly state: string;
  readonly recheck: number;
  readonly recovery: number;
}

/** As often as the shell script of the original. */
export const DEFAULT_SCHEDULE = '*/5 * * * *';
