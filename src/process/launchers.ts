import { readProcFile, readStat } from '../linux/proc.ts';

/** Part of the shell text that reports the beginning of a command and then becomes the command. */
export const REPORTING = 'times >&';

/** Returns `members` of a tree without the launchers between its `leader` and the command. */
export function withoutLaunchers(members: readonly number[], leader: number | undefined): number[] {
  const launchers = new Set<number>();
  const stats = members.map(readStat).filter((stat) => stat !== undefined);
  const spare = (pid: number | undefined): void => {
    const words = pid === undefined ? [] : commandWords(pid);
    if (pid === undefined || !isLauncher(words)) return;
    launchers.add(pid);
    const children = stats.filter(({ parent }) => parent === pid).map((stat) => stat.pid);
    // A process that becomes the command has only its own helpers as children.
    for (const child of children) words[2]?.includes(REPORTING) ? launchers.add(child) : spare(child);
  };
  spare(leader);
  return members.filter((pid) => !launchers.has(pid));
}

function commandWords(pid: number): string[] {
  return readProcFile(`/proc/${pid}/cmdline`)?.split('\0').slice(0, -1) ?? [];
}

/** A launcher has the words of the command, `bash -c -- TEXT`, after its own. During exec(2) it has none. */
function isLauncher(words: readonly string[]): boolean {
  return words.length === 0 || (words.length > COMMAND_WORDS && words.at(-2) === '--' && words.at(-3) === '-c');
}

const COMMAND_WORDS = 4;
