import type { InstallOptions } from '../install/options.ts';

/** The options as commander gives them. */
export interface InstallArguments extends Omit<InstallOptions, 'binary' | 'dryRun' | 'packaged'> {
  readonly dryRun?: true;
  readonly binary?: string;
  readonly status?: true;
  readonly uninstall?: true;
  readonly purge?: true;
}
