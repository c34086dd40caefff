import { Argument, type Command, type CommandUnknownOpts, type Option } from '@commander-js/extra-typings';
import bash from '../../ops/completion/agent3.bash' with { type: 'text' };
import fish from '../../ops/completion/agent3.fish' with { type: 'text' };
import zsh from '../../ops/completion/agent3.zsh' with { type: 'text' };
import { listSessions } from '../client/sessions.ts';
import { EXIT_USAGE } from './exit.ts';
import { profilesDirectory, profilesIn } from './profiles-here.ts';
import { remoteClient } from './remote.ts';
import { oneLine } from './session.ts';

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

/** `agent3 __complete`, hidden: the completion scripts run it with the words of a command line. */
export function defineComplete(command: Command): void {
  command.argument('[words...]').action(async (words, _, { parent }) => {
    const offers = parent === null ? [] : await offersFor(parent, words);
    const text = typeof offers === 'string' ? [offers] : ['words', ...offers.map(formatOffer)];
    process.stdout.write(`${text.join('\n')}\n`);
  });
}

interface Offer {
  readonly word: string;
  readonly description?: string;
}

type Offers = readonly Offer[] | 'files' | 'directories';

function formatOffer({ word, description }: Offer): string {
  return description === undefined ? word : `${word}\t${description}`;
}

async function offersFor(program: CommandUnknownOpts, words: readonly string[]): Promise<Offers> {
  const current = words.at(-1) ?? '';
  const { command, option, operands } = readWords(program, words.slice(0, -1));
  const offers = await allOffers(command, option, operands, current);
  return typeof offers === 'string' ? offers : offers.filter(({ word }) => word.startsWith(current));
}

interface Place {
  readonly command: CommandUnknownOpts;
  readonly option: Option | undefined;
  /** Number of words that are neither subcommands nor options; undefined where the rest belongs to another program. */
  readonly operands: number | undefined;
}

function readWords(program: CommandUnknownOpts, words: readonly string[]): Place {
  let command = program;
  let option: Option | undefined;
  let operands = 0;
  for (const word of words) {
    if (option !== undefined) {
      option = undefined;
    } else if (word.startsWith('-')) {
      const named = optionsOf(command).find(({ long, short }) => word === long || word === short);
      option = named?.required === true || named?.optional === true ? named : undefined;
    } else {
      const inner = command.commands.find((one) => one.name() === word);
      if (inner === undefined) operands++;
      command = inner ?? command;
    }
  }
  // The first word of `agent3 exec` ends its options. The words after it belong to the command on the agent.
  return { command, option, operands: command.name() === 'exec' && operands > 0 ? undefined : operands };
}

async function allOffers(
  command: CommandUnknownOpts,
  option: Option | undefined,
  operands: number | undefined,
  current: string,
): Promise<Offers> {
  if (operands === undefined) return [];
  if (option !== undefined) return offersOf(option.argChoices, /[<[]([\w-]+)/.exec(option.flags)?.[1]);
  const options = optionsOf(command).map((one) => ({ word: one.long ?? one.flags, description: one.description }));
  if (current.startsWith('-')) return options;
  const inner = command.createHelp().visibleCommands(command);
  if (inner.length > 0) return inner.map((one) => ({ word: one.name(), description: one.description() }));
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[operands] ?? (last?.variadic === true ? last : undefined);
  return argument === undefined ? options : offersOf(argument.argChoices, argument.name());
}

/** Returns the values of an option or an argument: those it allows, or those that its name implies. */
async function offersOf(choices: readonly string[] | undefined, name: string | undefined): Promise<Offers> {
  if (choices !== undefined) return choices.map((word) => ({ word }));
  switch (name) {
    case 'file':
      return 'files';
    case 'directory':
      return 'directories';
    case 'profile':
      return [...profilesIn(profilesDirectory()).profiles.keys()].map((word) => ({ word }));
    case 'session':
      return sessionOffers();
    default:
      return [];
  }
}

const MAX_SESSIONS = 50;

async function sessionOffers(): Promise<Offer[]> {
  const client = remoteClient({}, EXIT_USAGE);
  const sessions = await listSessions(client, MAX_SESSIONS, undefined);
  return sessions.map(({ session, cmd }) => ({ word: session, description: oneLine(cmd).slice(0, 60) }));
}

function optionsOf(command: CommandUnknownOpts): Option[] {
  return command.createHelp().visibleOptions(command);
}
