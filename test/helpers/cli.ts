import { BASE_ENVIRONMENT, BINARY } from './binary.ts';
import { TemporaryDirectory } from './directories.ts';
import { eventually } from './waiting.ts';

/** What a run of the executable left behind. */
export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longest that a run which does not serve may take. */
const RUN_TIMEOUT_MS = 45_000;

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
    timeout: RUN_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** Runs the executable on a terminal, where somebody answers its question; returns all that the terminal showed. */
export async function agent3InTerminal(
  args: readonly string[],
  answer: string,
  env: Readonly<Record<string, string>>,
  beforeAnswer: () => Promise<unknown> = () => Promise.resolve(),
): Promise<string> {
  let shown = '';
  let isAsked = false;
  const decoder = new TextDecoder();
  const child = Bun.spawn([BINARY, ...args], {
    env: { ...BASE_ENVIRONMENT, ...env },
    timeout: RUN_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    terminal: {
      cols: 200,
      data: (terminal, bytes) => {
        shown += decoder.decode(bytes, { stream: true });
        if (isAsked || !shown.includes('[y/N]')) return;
        isAsked = true;
        void beforeAnswer().then(() => terminal.write(`${answer}\n`));
      },
    },
  });
  await child.exited;
  await eventually('the terminal has shown all', () => isAsked && !shown.endsWith('[y/N] '));
  return shown;
}
