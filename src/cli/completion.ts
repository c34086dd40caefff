import { Argument, type Command } from '@commander-js/extra-typings';
import bash from '../../ops/completion/agent3.bash' with { type: 'text' };
import fish from '../../ops/completion/agent3.fish' with { type: 'text' };
import zsh from '../../ops/completion/agent3.zsh' with { type: 'text' };

/** For bash 4, zsh 5, fish 3 and later. Each script asks `agent3 __complete` what may follow. */
const SCRIPTS = { bash, zsh, fish };

/** `agent3 completion`. */
export function defineCompletion(command: Command): void {
  command
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish'] as const))
    .addHelpText('after', EXAMPLES)
    .action((shell) => {
      process.stdout.write(SCRIPTS[shell]);
    });
}

const EXAMPLES = `
Examples:
  source <(agent3 completion bash)                      in ~/.bashrc
  source <(agent3 completion zsh)                       in ~/.zshrc, after compinit
  agent3 completion fish > ~/.config/fish/completions/agent3.fish`;
