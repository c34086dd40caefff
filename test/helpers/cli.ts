import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { TemporaryDirectory } from './directories.ts';

/** What a run of the executable left behind. */
export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longest that a run which does not serve may take. */
const RUN_PATIENCE_MS = 15_000;

/** Runs the executable to its end, in an empty directory unless `cwd` is given. */
export async function agent3(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd?: string,
): Promise<Run> {
  using empty = new TemporaryDirectory();
  const child = Bun.spawn([BINARY, ...args], {
    cwd: cwd ?? empty.path,
    env: { ...BASE_ENVIRONMENT, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: RUN_PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}
