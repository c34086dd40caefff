/** Returns the environment of this process. Only this function reads it. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** What systemd passed to this process (sd_notify(3), sd_watchdog_enabled(3)). */
export interface ServiceManager {
  /** Path, or abstract name after `@`; undefined without a listener. */
  readonly notifySocket: string | undefined;
  /** Interval of the watchdog, in milliseconds; undefined without one. */
  readonly watchdogMs: number | undefined;
}

/** Reads what systemd put into `environment` for the process `pid`. */
export function serviceManager(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number = process.pid,
): ServiceManager {
  const microseconds = Number(environment['WATCHDOG_USEC']);
  const forUs = environment['WATCHDOG_PID'] === undefined || Number(environment['WATCHDOG_PID']) === pid;
  return {
    notifySocket: environment['NOTIFY_SOCKET'] || undefined,
    watchdogMs: microseconds > 0 && forUs ? microseconds / 1000 : undefined,
  };
}
