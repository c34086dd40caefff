import { InstallFault } from './fault.ts';

/** What a program of the system said. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The installer runs programs of the system, wherever its own caller's PATH points. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const DEFAULT_SECONDS = 120;

/** Runs a program to its end; 127 where there is none of that name, 124 when it took too long. */
export function runCommand(argv: readonly string[], seconds: number = DEFAULT_SECONDS): CommandResult {
  try {
    const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync([...argv], {
      env: { PATH, LANG: 'C.UTF-8', SYSTEMD_PAGER: 'cat', SYSTEMD_COLORS: '0' },
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

/** The same; throws `InstallFault` with what the program said when it fails. */
export function mustRun(argv: readonly string[], seconds?: number): string {
  const { code, stdout, stderr } = runCommand(argv, seconds);
  if (code === 0) return stdout;
  throw new InstallFault(`${argv.join(' ')} failed (${code}): ${(stderr || stdout).trim().slice(-1000)}`);
}
