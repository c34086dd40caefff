import type { Command } from 'commander';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import type { CompletionShell } from './completion-shells.ts';
import { type CompletedCommand, completedCommands } from './completion-tree.ts';
import { zshCompletion } from './completion-zsh.ts';

const WRITERS: Readonly<Record<CompletionShell, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** The script that teaches `shell` the subcommands and options of `program`. */
export function completionScript(program: Command, shell: CompletionShell): string {
  return WRITERS[shell](completedCommands(program));
}
