/** The result of a system program. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The PATH of system programs, instead of the caller's. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const DEFAULT_SECONDS = 120;

/**
 * Runs a program. Returns code 127 when it is not installed, 124 when it took too long. It does not get the caller's
 * environment, which may have the token.
 */
export function runCommand(argv: readonly string[], seconds: number = DEFAULT_SECONDS, path = PATH): CommandResult {
  try {
    const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync([...argv], {
      env: { PATH: path, LANG: 'C.UTF-8', SYSTEMD_PAGER: 'cat', SYSTEMD_COLORS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
    });
    const code = signalCode === undefined || signalCode === null ? exitCode : 124;
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  } catch (error) {
    return { code: 127, stdout: '', stderr: error instanceof Error ? error.message : String(error) };
  }
}
