import { Argument, type Command } from 'commander';
import { COMPLETION_SHELLS, type CompletionShell } from './completion-shells.ts';

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('Print the completions for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(COMPLETION_SHELLS))
    .addHelpText('after', EXAMPLES)
    .action(async (shell: CompletionShell) => {
      const { completionScript } = await import('./completion-action.ts');
      process.stdout.write(completionScript(program, shell));
    });
}

const EXAMPLES = `
Examples:
  source <(agent3 completion bash)                      in ~/.bashrc
  source <(agent3 completion zsh)                       in ~/.zshrc, after compinit
  agent3 completion fish > ~/.config/fish/completions/agent3.fish`;
