/** What the owner asked of the installer. Undefined: as it is, or the default. */
export interface InstallOptions {
  readonly user?: string;
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
  /** `false`: no domain any more. */
  readonly domain?: string | false;
  /** Undefined: as it is, or with one. */
  readonly watchdog?: boolean;
  /** Whether every command of an agent with a user of its own reads the logs. Undefined: as it is, or not. */
  readonly lookLogs?: boolean;
  readonly start: boolean;
  readonly dryRun: boolean;
  /** `/`, or the directory to stage into. */
  readonly root: string;
  /** The executable to install. */
  readonly binary: string;
  /** The files in `/usr` and `/etc/logrotate.d` come from a package; only the rest is set up. */
  readonly packaged: boolean;
}
