import type { Command, Option } from 'commander';

/** What comes after an option: nothing, one of some words, a file, a directory, or what nobody can know. */
export type OptionValue = 'none' | 'file' | 'directory' | 'unknown' | readonly string[];

/** An option, as a shell completes it. */
export interface CompletedOption {
  /** `--long` and `-s`, as far as there are. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: OptionValue;
}

/** A subcommand, as a shell completes it. */
export interface CompletedCommand {
  /** With those above it: `agent3 sessions read`. */
  readonly path: string;
  readonly inner: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  /** Its arguments: words that are allowed, ids of sessions, or what nobody can know. */
  readonly arguments: 'sessions' | 'unknown' | readonly string[];
}

/** `program` and all its subcommands that are not hidden, from what commander knows of them. */
export function completedCommands(program: Command, above = ''): CompletedCommand[] {
  const path = `${above}${program.name()}`;
  const help = program.createHelp();
  const inner = help.visibleCommands(program);
  const own: CompletedCommand = {
    path,
    inner: inner.map((command) => ({ name: command.name(), description: command.description() })),
    options: help.visibleOptions(program).map(completedOption),
    arguments: argumentsOf(program),
  };
  return [own, ...inner.flatMap((command) => completedCommands(command, `${path} `))];
}

/** Every option of `commands` that wants a value of this kind, with the command's path before its name. */
export function optionsWith(commands: readonly CompletedCommand[], value: OptionValue): string[] {
  return commands.flatMap(({ path, options }) =>
    options.filter((option) => option.value === value).flatMap(({ names }) => names.map((name) => `${path} ${name}`)),
  );
}

/** The same for options that want one of some words. */
export function optionsWithWords(commands: readonly CompletedCommand[]): { at: string; words: readonly string[] }[] {
  return commands.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) =>
      typeof value === 'string' ? [] : names.map((name) => ({ at: `${path} ${name}`, words: value })),
    ),
  );
}

function completedOption(option: Option): CompletedOption {
  const names = [option.long, option.short].filter((name) => typeof name === 'string');
  return { names, description: option.description, value: valueKind(option) };
}

function valueKind({ argChoices, flags, required, optional }: Option): OptionValue {
  if (argChoices !== undefined) return argChoices;
  if (!required && !optional) return 'none';
  if (flags.includes('<file>')) return 'file';
  return flags.includes('<directory>') ? 'directory' : 'unknown';
}

function argumentsOf({ registeredArguments: [first] }: Command): CompletedCommand['arguments'] {
  if (first === undefined) return [];
  if (first.argChoices !== undefined) return first.argChoices;
  return first.name() === 'session' ? 'sessions' : 'unknown';
}
