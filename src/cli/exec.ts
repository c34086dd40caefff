import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ExecOptions } from './exec-arguments.ts';
import { REMOTE_HELP, withRemote } from './remote.ts';

export function addExec(program: Command): void {
  withRemote(
    program
      .command('exec')
      .description('Run a command on a remote agent: its output as it comes, its exit code as this one')
      .argument('<command...>', 'the command, quoted; several words are joined by spaces'),
  )
    .option(
      '--timeout <seconds>',
      'stop it after this time (default: what the agent allows in the background)',
      seconds,
    )
    .option('--cwd <path>', 'its working directory, on the agent')
    .option('--env <assignment>', 'NAME=value, set for the command; may be repeated', assignment)
    .option('--key <key>', 'makes a repeat safe: the same key runs nothing again and follows the first command')
    .option('-n, --no-stdin', 'pass no standard input')
    .addOption(new Option('-d, --detach', 'print the session at once and leave the command running').conflicts('tty'))
    .option('-t, --tty', 'in a terminal, for programs that demand one')
    .addHelpText('after', EXAMPLES + REMOTE_HELP)
    .action(async (words: readonly string[], options: ExecOptions) => {
      const { runExec } = await import('./exec-action.ts');
      await runExec(words.join(' '), options);
    });
}

const EXAMPLES = `
Examples:
  agent3 exec 'df -h / && free -m'
  agent3 exec --timeout 1800 'apt-get update && apt-get -y upgrade'
  agent3 exec 'cat > /etc/motd' < motd
  tar c site | base64 | agent3 exec 'base64 -d | tar x -C /srv'
  agent3 exec -t 'sudo passwd bob'
  session=$(agent3 exec --detach 'make -C /srv/app'); agent3 sessions read --follow "$session"

Standard input is passed when it is no terminal. Ctrl-C stops the command.
Exit code: the command's own; 124 when it was stopped at its time limit, 255 when exec itself failed.
`;

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError('It has to be a number of seconds.');
}

function assignment(text: string, earlier: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It has to be of the form NAME=value.');
  return { ...earlier, [text.slice(0, at)]: text.slice(at + 1) };
}
