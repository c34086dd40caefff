import { readProcFile, readStat } from '../linux/proc.ts';

/** What a shell's text has that tells the beginning of a command, and then becomes it. */
export const TELLING = 'times >&';

/** `members` of a tree without what stands between its `leader` and the command, or is about to become it. */
export function withoutLaunchers(members: readonly number[], leader: number | undefined): number[] {
  const launchers = new Set<number>();
  const stats = members.map(readStat).filter((stat) => stat !== undefined);
  const spare = (pid: number | undefined): void => {
    const words = pid === undefined ? [] : commandWords(pid);
    if (pid === undefined || !isLauncher(words)) return;
    launchers.add(pid);
    const children = stats.filter(({ parent }) => parent === pid).map((stat) => stat.pid);
    // What becomes the command has only helpers of its own as children.
    for (const child of children) words[2]?.includes(TELLING) ? launchers.add(child) : spare(child);
  };
  spare(leader);
  return members.filter((pid) => !launchers.has(pid));
}

function commandWords(pid: number): string[] {
  return readProcFile(`/proc/${pid}/cmdline`)?.split('\0').slice(0, -1) ?? [];
}

/** What starts a command has its words, `bash -c -- TEXT`, behind its own. In the middle of exec(2) it has none. */
function isLauncher(words: readonly string[]): boolean {
  return words.length === 0 || (words.length > COMMAND_WORDS && words.at(-2) === '--' && words.at(-3) === '-c');
}

const COMMAND_WORDS = 4;
