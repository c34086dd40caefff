/** The options as commander gives them. */
export interface InstallArguments {
  readonly user?: string;
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
  readonly domain?: string;
  readonly watchdog: boolean;
  readonly start: boolean;
  readonly dryRun?: true;
  readonly root: string;
  readonly binary?: string;
  readonly status?: true;
  readonly uninstall?: true;
  readonly purge?: true;
}
